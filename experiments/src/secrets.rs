//! Keeping secrets out of the record: what is given on the command line may be one.

use std::collections::BTreeMap;

/// What stands for a secret.
const REDACTED: &str = "***";
/// Their values are shell commands.
const COMMAND_FLAGS: [&str; 2] = ["--fault-command", "--clear-command"];
/// A key that contains one of these has a secret for its value.
const SECRET_WORDS: [&str; 6] = ["password", "passwd", "secret", "digest", "token", "credentials"];

/// Whether the value of a setting of this name is a secret.
pub(crate) fn is_secret(key: &str) -> bool {
    let key = key.to_lowercase();
    SECRET_WORDS.iter().any(|word| key.contains(word))
}

/// Settings as the record may have them.
pub(crate) fn settings(settings: &BTreeMap<String, String>) -> BTreeMap<String, String> {
    let shown = |key: &str, value: &str| if is_secret(key) { REDACTED.to_owned() } else { value.to_owned() };
    settings.iter().map(|(key, value)| (key.clone(), shown(key, value))).collect()
}

/// Arguments as the record may have them: without the values of secret keys, without the users of URLs, and without
/// shell commands, in which a secret may stand anywhere.
pub(crate) fn command_line(args: &[String]) -> Vec<String> {
    let before = std::iter::once("").chain(args.iter().map(String::as_str));
    let shown =
        |(before, arg): (&str, &String)| match COMMAND_FLAGS.iter().find(|flag| arg.starts_with(*flag)) {
            _ if COMMAND_FLAGS.contains(&before) => REDACTED.to_owned(),
            Some(flag) if arg[flag.len()..].starts_with('=') => format!("{flag}={REDACTED}"),
            _ => without_user(&without_value(arg)),
        };
    before.zip(args).map(shown).collect()
}

/// A text in which a setting's value may stand, such as an error of a server that did not start.
pub(crate) fn text(text: &str, settings: &BTreeMap<String, String>) -> String {
    let secrets = settings.iter().filter(|(key, value)| is_secret(key) && !value.is_empty());
    secrets.fold(text.to_owned(), |text, (_, value)| text.replace(value.as_str(), REDACTED))
}

/// `KEY=VALUE` and `--flag=KEY=VALUE`, whichever part before an equals sign is the key.
fn without_value(arg: &str) -> String {
    let ends = arg.match_indices('=').map(|(at, _)| at);
    let mut begin = 0;
    for end in ends {
        if is_secret(&arg[begin..end]) {
            return format!("{}={REDACTED}", &arg[..end]);
        }
        begin = end + 1;
    }
    arg.to_owned()
}

/// What stands before the last `@` of a URL is a user, or a password that has such a sign in it.
fn without_user(arg: &str) -> String {
    match (arg.find("://"), arg.rfind('@')) {
        (Some(scheme), Some(at)) if scheme < at => {
            format!("{}{REDACTED}{}", &arg[..scheme + 3], &arg[at..])
        }
        _ => arg.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_of_secret_keys_and_users_of_urls_are_left_out() {
        for (arg, shown) in [
            ("run", "run"),
            ("tickTime=500", "tickTime=500"),
            ("--server=tickTime=500", "--server=tickTime=500"),
            ("ssl.keyStore.password=hunter2", "ssl.keyStore.password=***"),
            ("--server=ssl.keyStore.passWord=hunter2=x", "--server=ssl.keyStore.passWord=***"),
            ("jvm.zookeeper.DigestAuthenticationProvider.superDigest=super:hunter2", ""),
            ("--auth-token=hunter2", "--auth-token=***"),
            ("client.CREDENTIALS.x=hunter2", "client.CREDENTIALS.x=***"),
            ("my.secret = hunter2", "my.secret =***"),
            ("zk://me:hunter2@h1:2181,h2:2181/chroot", "zk://***@h1:2181,h2:2181/chroot"),
            ("--target=zk://me:hunter2/@x@h1", "--target=zk://***@h1"),
            ("zk://h1:2181/chroot", "zk://h1:2181/chroot"),
            ("app.read.response.p99 <= 10ms", "app.read.response.p99 <= 10ms"),
        ] {
            let redacted = &command_line(&[arg.to_owned()])[0];
            assert!(!redacted.contains("hunter2"), "{redacted}");
            assert!(shown.is_empty() || redacted == shown, "{redacted}");
        }
    }

    #[test]
    fn shell_commands_are_left_out() {
        let args = ["failover", "--fault-command", "sshpass -p x y", "--clear-command=z", "--fault", "kill"];
        let shown = ["failover", "--fault-command", "***", "--clear-command=***", "--fault", "kill"];
        assert_eq!(command_line(&args.map(str::to_owned)), shown);
    }

    #[test]
    fn settings_and_what_is_said_of_them_lose_their_secrets() {
        let given = [("tickTime", "500"), ("a.Password", "hunter2"), ("empty.token", "")];
        let given = given.map(|(key, value)| (key.to_owned(), value.to_owned())).into();
        let shown = settings(&given);
        assert_eq!((shown["tickTime"].as_str(), shown["a.Password"].as_str()), ("500", "***"));
        assert_eq!(text("cannot use a.Password=hunter2, 500", &given), "cannot use a.Password=***, 500");
    }
}
