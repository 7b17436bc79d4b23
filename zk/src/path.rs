//! Paths of znodes.

use std::borrow::Cow;

/// Why a path is not one (`PathUtils.validatePath`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum PathError {
    /// The path is empty.
    #[error("a path is not empty")]
    Empty,
    /// The path does not start with a slash.
    #[error("a path starts with /")]
    NoSlash,
    /// The path ends with a slash.
    #[error("a path does not end with /")]
    EndsWithSlash,
    /// Two slashes follow each other.
    #[error("a path has no empty name (//) in it")]
    EmptyName,
    /// A name is `.` or `..`.
    #[error("a path has no relative name (. or ..) in it")]
    RelativeName,
    /// A character that is not allowed.
    #[error("a path has no control characters, surrogates or private-use characters in it")]
    Character,
}

/// Checks a path.
pub fn validate(path: &str) -> Result<(), PathError> {
    if path.is_empty() {
        return Err(PathError::Empty);
    }
    let Some(rest) = path.strip_prefix('/') else { return Err(PathError::NoSlash) };
    if rest.is_empty() {
        return Ok(());
    }
    if rest.ends_with('/') {
        return Err(PathError::EndsWithSlash);
    }
    for name in rest.split('/') {
        match name {
            "" => return Err(PathError::EmptyName),
            "." | ".." => return Err(PathError::RelativeName),
            _ => {}
        }
    }
    if rest.chars().any(is_forbidden) { Err(PathError::Character) } else { Ok(()) }
}

/// What `PathUtils` refuses, seen from UTF-16: characters outside the basic plane are surrogates there.
fn is_forbidden(c: char) -> bool {
    matches!(c, '\0'..='\u{1f}' | '\u{7f}'..='\u{9f}' | '\u{e000}'..='\u{f8ff}' | '\u{fff0}'..='\u{ffff}')
        || c > '\u{ffff}'
}

/// The path of the parent; `None` for the root.
pub fn parent(path: &str) -> Option<&str> {
    match path.rfind('/')? {
        0 if path.len() == 1 => None,
        0 => Some("/"),
        n => Some(&path[..n]),
    }
}

/// The last name of a path; empty for the root.
pub fn name(path: &str) -> &str {
    path.rsplit('/').next().unwrap_or_default()
}

/// The path of a child.
pub fn child(parent: &str, name: &str) -> String {
    if parent == "/" { format!("/{name}") } else { format!("{parent}/{name}") }
}

/// A path as a client below `chroot` (empty or `/` for none) names it, as the server knows it.
pub fn with_chroot<'a>(chroot: &str, path: &'a str) -> Cow<'a, str> {
    match chroot {
        "" | "/" => Cow::Borrowed(path),
        _ if path == "/" => Cow::Owned(chroot.to_owned()),
        _ => Cow::Owned(format!("{chroot}{path}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_checked_as_upstream_does() {
        for good in ["/", "/a", "/a/b", "/a.b/..c", "/ä/\u{2603}", "/a b"] {
            assert_eq!(validate(good), Ok(()), "{good}");
        }
        for (bad, why) in [
            ("", PathError::Empty),
            ("a", PathError::NoSlash),
            ("/a/", PathError::EndsWithSlash),
            ("//a", PathError::EmptyName),
            ("/a//b", PathError::EmptyName),
            ("/.", PathError::RelativeName),
            ("/a/../b", PathError::RelativeName),
            ("/a\0", PathError::Character),
            ("/a\u{7f}", PathError::Character),
            ("/a\u{1f980}", PathError::Character),
            ("/\u{f8ff}", PathError::Character),
        ] {
            assert_eq!(validate(bad), Err(why), "{bad:?}");
        }
    }

    #[test]
    fn parents_and_names() {
        assert_eq!((parent("/"), name("/")), (None, ""));
        assert_eq!((parent("/a"), name("/a")), (Some("/"), "a"));
        assert_eq!((parent("/a/b"), name("/a/b")), (Some("/a"), "b"));
        assert_eq!((child("/", "a"), child("/a", "b")), ("/a".to_owned(), "/a/b".to_owned()));
    }

    #[test]
    fn a_chroot_is_prepended() {
        assert_eq!(with_chroot("", "/a"), "/a");
        assert_eq!(with_chroot("/c", "/a"), "/c/a");
        assert_eq!(with_chroot("/c", "/"), "/c");
    }
}
