//! What the AdminServer answers, as 3.9.4 does standalone (`Commands`): JSON objects whose last entries are the
//! command and its error. HTTP itself is in `serving`.

use serde_json::{Map, Value, json};

use super::member::{Clients, Member};

/// The commands that are answered.
pub(super) const COMMANDS: [&str; 5] = ["leader", "monitor", "ruok", "voting_view", "zabstate"];

impl Member {
    /// Does a command, under either of its names.
    pub(super) fn answer_command(&self, clients: &Clients, name: &str) -> String {
        let mut answer = Map::new();
        let mut error = Value::Null;
        let command = match name {
            "monitor" | "mntr" => {
                answer.extend(self.monitor(clients).into_iter().map(|(key, value)| (key.to_owned(), value)));
                "monitor"
            }
            "leader" | "lead" => {
                // There is no ensemble that could have one.
                error = json!("server is not initialized");
                "leader"
            }
            "zabstate" => {
                answer.insert("voting".to_owned(), json!(false));
                answer.insert("zabstate".to_owned(), json!(""));
                "zabstate"
            }
            "voting_view" => {
                answer.insert("current_config".to_owned(), json!({}));
                "voting_view"
            }
            "ruok" => "ruok",
            unknown => {
                error = json!(format!("Unknown command: {unknown}"));
                unknown
            }
        };
        answer.insert("command".to_owned(), json!(command));
        answer.insert("error".to_owned(), error);
        // Strings for keys, and no value that JSON does not have.
        format!("{:#}", Value::Object(answer))
    }
}
