//! Settings of an embedded member by the names that `zoo.cfg` has for them.
//!
//! | setting | what it is | default |
//! |---|---|---|
//! | `tickTime` | milliseconds; sessions expire at ticks | 2000 |
//! | `minSessionTimeout`, `maxSessionTimeout` | milliseconds | 2 and 20 ticks |
//! | `maxClientCnxns` | connections at a time from one address, 0 for any number (upstream's own default is 60) | 0 |
//! | `jute.maxbuffer` | bytes of a request | 1048575 |
//! | `admin.serverPort` | port of the AdminServer on loopback, 0 for a free one | 0 |
//! | `superDigest` | the digest id of the user who passes every ACL check | none |

use std::collections::BTreeMap;
use std::str::FromStr;

use super::Options;

/// The settings.
const KEYS: [&str; 7] = [
    "admin.serverPort",
    "jute.maxbuffer",
    "maxClientCnxns",
    "maxSessionTimeout",
    "minSessionTimeout",
    "superDigest",
    "tickTime",
];

/// Why a setting cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SettingError {
    /// There is none of this name.
    #[error("this server knows {}", KEYS.join(", "))]
    Unknown,
    /// The value is not in its range.
    #[error("it is a number from {min} to {max}")]
    Range {
        /// The least value.
        min: u64,
        /// The greatest one.
        max: u64,
    },
    /// The value is no digest id.
    #[error("it is a user, a colon and the base64 of a SHA-1, as in super:D/InIHSb7yEEbrWz8b9l71RjZJU=")]
    Digest,
}

impl Options {
    /// Sets what `zoo.cfg` calls `key`.
    ///
    /// # Errors
    /// When there is no such setting, or it cannot have this value.
    pub fn set(&mut self, key: &str, value: &str) -> Result<(), SettingError> {
        match key {
            "tickTime" => self.tick_time_ms = number(value, 10, 60_000)?,
            "minSessionTimeout" => self.min_session_timeout_ms = Some(number(value, 1, i32::MAX as u64)?),
            "maxSessionTimeout" => self.max_session_timeout_ms = Some(number(value, 1, i32::MAX as u64)?),
            "maxClientCnxns" => self.max_client_connections = number(value, 0, 1_000_000)?,
            "jute.maxbuffer" => self.max_frame_len = number(value, 1 << 10, 64 << 20)?,
            "admin.serverPort" => self.admin_port = number(value, 0, u16::MAX.into())?,
            "superDigest" => match value.split_once(':') {
                Some((user, digest)) if !user.is_empty() && !digest.is_empty() => {
                    self.super_digest = Some(value.to_owned());
                }
                _ => return Err(SettingError::Digest),
            },
            _ => return Err(SettingError::Unknown),
        }
        Ok(())
    }

    /// The settings in force, defaults included.
    pub fn settings(&self) -> BTreeMap<String, String> {
        let (min_ms, max_ms) = self.session_timeouts_ms();
        let mut settings = BTreeMap::from(
            [
                ("tickTime", self.tick_time_ms.to_string()),
                ("minSessionTimeout", min_ms.to_string()),
                ("maxSessionTimeout", max_ms.to_string()),
                ("maxClientCnxns", self.max_client_connections.to_string()),
                ("jute.maxbuffer", self.max_frame_len.to_string()),
                ("admin.serverPort", self.admin_port.to_string()),
            ]
            .map(|(key, value)| (key.to_owned(), value)),
        );
        if let Some(digest) = &self.super_digest {
            settings.insert("superDigest".to_owned(), digest.clone());
        }
        settings
    }

    /// The least and the greatest session timeout, milliseconds: `minSessionTimeout` and `maxSessionTimeout`, or 2 and
    /// 20 ticks.
    pub fn session_timeouts_ms(&self) -> (i32, i32) {
        let ticks = |count: u32| self.tick_time_ms.max(1).saturating_mul(count);
        let limit = |ms: u32| i32::try_from(ms).unwrap_or(i32::MAX);
        (
            limit(self.min_session_timeout_ms.unwrap_or(ticks(2))),
            limit(self.max_session_timeout_ms.unwrap_or(ticks(20))),
        )
    }
}

fn number<T: FromStr + TryFrom<u64>>(value: &str, min: u64, max: u64) -> Result<T, SettingError> {
    let range = SettingError::Range { min, max };
    let number: u64 = value.parse().map_err(|_| range.clone())?;
    if !(min..=max).contains(&number) {
        return Err(range);
    }
    T::try_from(number).map_err(|_| range)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn settings_are_checked_and_told() {
        let mut options = Options::default();
        assert_eq!(options.session_timeouts_ms(), (4_000, 40_000));
        for (key, value, reason) in [
            ("tickTim", "500", "knows admin.serverPort, jute.maxbuffer"),
            ("tickTime", "0", "from 10 to 60000"),
            ("tickTime", "x", "a number"),
            ("maxClientCnxns", "-1", "from 0"),
            ("jute.maxbuffer", "1", "from 1024"),
            ("admin.serverPort", "65536", "to 65535"),
            ("superDigest", "secret", "a colon"),
        ] {
            let error = options.set(key, value).unwrap_err().to_string();
            assert!(error.contains(reason), "{key}={value}: {error}");
        }
        assert_eq!(options.settings(), Options::default().settings(), "what is refused changes nothing");
        let given = [
            ("tickTime", "500"),
            ("maxSessionTimeout", "60000"),
            ("maxClientCnxns", "60"),
            ("jute.maxbuffer", "4194304"),
            ("admin.serverPort", "8080"),
            ("superDigest", "super:x"),
        ];
        for (key, value) in given {
            options.set(key, value).unwrap();
        }
        assert_eq!(options.session_timeouts_ms(), (1_000, 60_000));
        let settings = options.settings();
        assert_eq!(settings.len(), KEYS.len());
        for (key, value) in given {
            assert_eq!(settings[key], value);
        }
        assert!(settings.keys().all(|key| KEYS.contains(&key.as_str())));
    }
}
