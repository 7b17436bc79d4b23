//! What is wrong with a key or value of a TOML file, in the file's terms: serde's messages in, better ones out.

/// The key that an "unknown field" message is about.
pub fn unknown_field(message: &str) -> Option<&str> {
    message.strip_prefix("unknown field `")?.split('`').next()
}

fn missing_field(message: &str) -> Option<&str> {
    message.strip_prefix("missing field `")?.split('`').next()
}

/// A message in the file's terms, and what would help.
pub fn explain(message: &str, key: Option<&str>) -> (String, Option<String>) {
    if let Some(unknown) = unknown_field(message) {
        let known: Vec<&str> = message.split('`').skip(3).step_by(2).collect();
        let help = match nearest(unknown, known.iter().copied()) {
            Some(nearest) => format!("did you mean {nearest:?}? known here: {}", known.join(", ")),
            None => format!("known here: {}", known.join(", ")),
        };
        return (format!("there is no key {unknown:?} here"), Some(help));
    }
    if let Some(missing) = missing_field(message) {
        return (format!("the key {missing:?} is missing"), Some(format!("add {missing} = …")));
    }
    if let Some(variant) = message.strip_prefix("unknown variant `").and_then(|m| m.split('`').next()) {
        let known: Vec<&str> = message.split('`').skip(3).step_by(2).collect();
        let help = nearest(variant, known.iter().copied())
            .map(|n| format!("did you mean {n:?}? known: {}", known.join(", ")))
            .unwrap_or_else(|| format!("known: {}", known.join(", ")));
        return (format!("{variant:?} is none of the known values"), Some(help));
    }
    let message =
        without_value(message).replace("expected u32", "expected a whole number from 0 to 4294967295");
    let message = match key {
        Some(key) => format!("{key}: {message}"),
        None => message,
    };
    (message, None)
}

/// Without the value that is of another type: a secret may stand where a table of what to find it by belongs.
fn without_value(message: &str) -> String {
    let found = message.strip_prefix("invalid type: ").and_then(|rest| rest.rsplit_once(", expected "));
    match found {
        Some((found, expected)) => {
            let kind = found.split(['"', '`']).next().unwrap_or_default().trim_end();
            format!("invalid type: {kind}, expected {expected}")
        }
        None => message.to_owned(),
    }
}

/// The known word that is nearest to what was written, if any is near.
pub fn nearest<'a>(word: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    known
        .into_iter()
        .map(|k| (strsim::damerau_levenshtein(word, k), k))
        .filter(|(distance, k)| *distance <= 1 + k.len().max(word.len()) / 3)
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, k)| k)
}
