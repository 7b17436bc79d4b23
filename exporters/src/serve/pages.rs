//! The page for people.

use std::fmt::Write as _;

/// What is told of, and where: each cluster's name and its target's URL; and what went wrong.
pub(super) fn landing(clusters: &[(String, String)], problems: &[String]) -> String {
    let mut rows = String::new();
    for (name, target) in clusters {
        // Writing to a string cannot fail.
        let _ =
            writeln!(rows, "<tr><td>{}</td><td><code>{}</code></td></tr>", escaped(name), escaped(target));
    }
    let table = if rows.is_empty() {
        String::new()
    } else {
        format!("<table>\n<tr><th>cluster</th><th>target</th></tr>\n{rows}</table>\n")
    };
    let items: String = problems.iter().map(|problem| format!("<li>{}</li>\n", escaped(problem))).collect();
    let problems = match items.as_str() {
        "" => String::new(),
        items => format!("<h2>What went wrong last</h2>\n<ul>\n{items}</ul>\n"),
    };
    format!(
        "<!doctype html>\n<html lang=\"en\">\n<head><meta charset=\"utf-8\"><title>Quorumeter</title></head>\n<body>\n\
         <h1>Quorumeter {}</h1>\n<ul>\n<li><a href=\"metrics\">metrics</a></li>\n<li><a href=\"healthz\">health of this \
         process</a></li>\n</ul>\n{table}{problems}</body>\n</html>\n",
        env!("CARGO_PKG_VERSION")
    )
}

/// Text in which nothing is markup.
fn escaped(text: &str) -> String {
    let mut to = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => to.push_str("&amp;"),
            '<' => to.push_str("&lt;"),
            '>' => to.push_str("&gt;"),
            '"' => to.push_str("&quot;"),
            '\'' => to.push_str("&#39;"),
            c => to.push(c),
        }
    }
    to
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_never_markup() {
        let page = landing(&[("<script>alert('&')</script>".into(), "zk://a:1".into())], &["<b>".into()]);
        assert!(page.contains("<li>&lt;b&gt;</li>"), "{page}");
        assert!(page.contains("<td>&lt;script&gt;alert(&#39;&amp;&#39;)&lt;/script&gt;</td>"), "{page}");
        assert!(page.contains("<code>zk://a:1</code>") && page.contains(env!("CARGO_PKG_VERSION")), "{page}");
    }

    #[test]
    fn without_clusters_and_problems_there_is_nothing_of_them() {
        let page = landing(&[], &[]);
        assert!(!page.contains("<table>") && !page.contains("<h2>"), "{page}");
    }
}
