//! Where secrets are, and what is made of them.

use std::fs;
use std::io::Read as _;
use std::path::PathBuf;

use quorumeter_targets::zookeeper::Auth;

const SECRET_MAX: u64 = 4096;

/// Where a secret is. Its value is in no message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Secret {
    /// In a file, without the end of its line.
    File(PathBuf),
    /// In an environment variable.
    Env(String),
}

impl Secret {
    /// A token.
    ///
    /// # Errors
    ///
    /// A message that repeats nothing of it, nor of where it was said to be: that may be it, by mistake.
    pub fn read(&self) -> Result<String, String> {
        let (text, place) = self.text("token")?;
        let secret = text.trim_end_matches(['\n', '\r']);
        if secret.is_empty()
            || secret.len() as u64 > SECRET_MAX
            || !secret.bytes().all(|b| b.is_ascii_graphic())
        {
            return Err(format!(
                "{place} holds no token: it is one line of up to {SECRET_MAX} visible characters"
            ));
        }
        Ok(secret.to_owned())
    }

    /// A password: the first line of a file, or all of a variable.
    ///
    /// # Errors
    ///
    /// As [`Secret::read`].
    pub fn read_password(&self) -> Result<String, String> {
        let (text, place) = self.text("password")?;
        let password = match self {
            Secret::File(_) => text.lines().next().unwrap_or_default(),
            Secret::Env(_) => &text,
        };
        if password.is_empty() || password.len() as u64 > SECRET_MAX {
            return Err(format!("{place} holds no password: it is one line of up to {SECRET_MAX} bytes"));
        }
        Ok(password.to_owned())
    }

    /// What stands there, and what to call the place; `what` is how keys are called that name it.
    fn text(&self, what: &str) -> Result<(String, String), String> {
        match self {
            Secret::File(path) => {
                let mut text = String::new();
                let read =
                    fs::File::open(path).and_then(|file| file.take(SECRET_MAX + 1).read_to_string(&mut text));
                let place = format!("the file that {what}_file names");
                read.map_err(|e| format!("cannot read {place}: {e}"))?;
                Ok((text, place))
            }
            Secret::Env(name) => {
                let no_variable =
                    |_| format!("the environment has no variable of the name that {what}_env gives");
                let text = std::env::var(name).map_err(no_variable)?;
                Ok((text, format!("the environment variable that {what}_env names")))
            }
        }
    }
}

/// Credentials of the scheme `digest`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Credentials {
    user: String,
    password: Secret,
}

impl Credentials {
    /// Those of a user. The password is not read yet.
    ///
    /// # Errors
    ///
    /// A message when a user has no such name.
    pub fn new(user: String, password: Secret) -> Result<Credentials, String> {
        if user.is_empty() || user.contains(':') {
            return Err(
                "the user is empty or has a colon in it, which separates user and password in the scheme \
                        digest"
                    .into(),
            );
        }
        Ok(Credentials { user, password })
    }

    /// What is shown to the members.
    ///
    /// # Errors
    ///
    /// As [`Secret::read`].
    pub fn read(&self) -> Result<Auth, String> {
        Ok(Auth::digest(&self.user, &self.password.read_password()?))
    }
}
