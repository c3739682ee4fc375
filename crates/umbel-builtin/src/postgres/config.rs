//! What a PostgreSQL provider is told, by its own config and by a link's target config, which overrides it.

use super::error::PostgresError;
use std::path::PathBuf;
use std::time::Duration;
use tokio_postgres::config::{Config, Host, SslMode};
use umbel_core::link::Values;

/// The validated settings of one link.
#[derive(Clone, PartialEq, Eq)]
pub struct Settings {
    /// `url`: `postgres://USER:PASSWORD@HOST[:PORT]/DATABASE[?sslmode=require]`. What else is said goes over it.
    url: Option<String>,
    /// `POSTGRES_HOST`: a name, an address, or the folder of a unix socket.
    pub host: Option<String>,
    /// `POSTGRES_PORT`: default 5432.
    pub port: Option<u16>,
    /// `POSTGRES_USERNAME`.
    pub username: Option<String>,
    /// `POSTGRES_PASSWORD`: never shown.
    password: Option<String>,
    /// `POSTGRES_DATABASE`: default the user's name.
    pub database: Option<String>,
    /// `POSTGRES_TLS_REQUIRED`: `true` or `yes`. Default no TLS, unless the url says `sslmode`.
    pub tls_required: Option<bool>,
    /// `POSTGRES_POOL_SIZE`: connections at most. Default 10.
    pub pool_size: usize,
    /// `ca_file`: a PEM file of authorities that are trusted beside the public ones.
    pub ca_file: Option<PathBuf>,
    /// `timeout_ms`: how long a call may take, with waiting for a connection. Default 30 s.
    pub timeout: Duration,
    /// `result_bytes_max`: bytes of all rows of one call. Default 16 MiB, at most 64 MiB.
    pub result_bytes_max: usize,
}

impl std::fmt::Debug for Settings {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // Neither the url nor the password.
        f.debug_struct("Settings")
            .field("host", &self.host)
            .field("port", &self.port)
            .field("username", &self.username)
            .field("database", &self.database)
            .field("tls_required", &self.tls_required)
            .field("pool_size", &self.pool_size)
            .finish_non_exhaustive()
    }
}

/// Where a database is: what links have to agree on to share a pool.
#[derive(Clone, PartialEq, Eq)]
pub(super) struct Place {
    pub(super) config: Config,
    pub(super) ca_file: Option<PathBuf>,
    pub(super) pool_size: usize,
    pub(super) timeout: Duration,
    pub(super) result_bytes_max: usize,
}

impl std::hash::Hash for Place {
    fn hash<H: std::hash::Hasher>(&self, state: &mut H) {
        // The client's config has no hash; equal places have equal users and databases.
        (self.config.get_user(), self.config.get_dbname(), self.config.get_ports()).hash(state);
    }
}

impl Settings {
    /// Reads the provider's values, then the link's over them. Unknown keys are errors. A link that names another server by `url` or
    /// host is not given the provider's user and password for it.
    pub fn read(provider: &Values, link: &Values) -> Result<Settings, PostgresError> {
        let mut settings = Settings {
            url: None,
            host: None,
            port: None,
            username: None,
            password: None,
            database: None,
            tls_required: None,
            pool_size: 10,
            ca_file: None,
            timeout: Duration::from_secs(30),
            result_bytes_max: 16 << 20,
        };
        for (key, value) in provider {
            settings.set(key, value.trim())?;
        }
        if link.keys().any(|key| matches!(key.to_ascii_lowercase().as_str(), "url" | "postgres_host")) {
            (settings.url, settings.host, settings.port) = (None, None, None);
            (settings.username, settings.password, settings.database) = (None, None, None);
        }
        for (key, value) in link {
            settings.set(key, value.trim())?;
        }
        Ok(settings)
    }

    fn set(&mut self, key: &str, value: &str) -> Result<(), PostgresError> {
        let text = || match value {
            "" => Err(bad(key, "it is empty")),
            _ if value.contains('\0') => Err(bad(key, "it has a NUL in it")),
            _ => Ok(Some(value.to_string())),
        };
        match key.to_ascii_lowercase().as_str() {
            "url" => {
                // What the client says about it may repeat it.
                value.parse::<Config>().map_err(|_| {
                    bad(key, "it is not of the form `postgres://USER:PASSWORD@HOST[:PORT]/DATABASE`, with `%XX` for what has a meaning")
                })?;
                self.url = text()?;
            }
            "postgres_host" => self.host = text()?,
            "postgres_port" => {
                let port = value.parse().ok().filter(|port| *port > 0);
                self.port = Some(port.ok_or_else(|| wrong(key, value, "a port"))?);
            }
            "postgres_username" => self.username = text()?,
            "postgres_password" => self.password = text()?,
            "postgres_database" => self.database = text()?,
            "postgres_tls_required" => {
                self.tls_required = match value.to_ascii_lowercase().as_str() {
                    "true" | "yes" => Some(true),
                    "false" | "no" => Some(false),
                    _ => return Err(wrong(key, value, "`true` or `false`")),
                };
            }
            "postgres_pool_size" => self.pool_size = number(key, value, 1_000)?,
            "ca_file" => {
                let path = PathBuf::from(value);
                if !path.is_absolute() {
                    return Err(wrong(key, value, "a path from the root on"));
                }
                self.ca_file = Some(path);
            }
            "timeout_ms" => self.timeout = Duration::from_millis(number(key, value, 3_600_000)? as u64),
            "result_bytes_max" => self.result_bytes_max = number(key, value, 64 << 20)?,
            _ => {
                let key: String = key.chars().take(60).flat_map(char::escape_debug).collect();
                return Err(bad(&key, "this key is not known"));
            }
        }
        Ok(())
    }

    /// Where the database is. An error if nobody says which server.
    pub(super) fn place(&self) -> Result<Place, PostgresError> {
        let mut config = match &self.url {
            Some(url) => url.parse().map_err(|_| bad("url", "it cannot be read"))?,
            None => Config::new(),
        };
        if let Some(host) = &self.host {
            config = without_hosts(&config);
            config.host(host);
        }
        if let Some(port) = self.port {
            config.port(port);
        }
        if let Some(username) = &self.username {
            config.user(username);
        }
        if let Some(password) = &self.password {
            config.password(password);
        }
        if let Some(database) = &self.database {
            config.dbname(database);
        }
        if config.get_hosts().is_empty() && config.get_hostaddrs().is_empty() {
            return Err(bad("POSTGRES_HOST", "neither the provider nor the link says which server"));
        }
        if config.get_user().is_none() {
            return Err(bad("POSTGRES_USERNAME", "neither the provider nor the link says which user"));
        }
        match self.tls_required {
            Some(true) => drop(config.ssl_mode(SslMode::Require)),
            Some(false) => drop(config.ssl_mode(SslMode::Disable)),
            // A client prefers TLS by itself, and fails where the certificate is not trusted; who wants it says so.
            None if config.get_ssl_mode() != SslMode::Require => drop(config.ssl_mode(SslMode::Disable)),
            None => {}
        }
        config.connect_timeout(self.timeout).application_name("umbel");
        Ok(Place {
            config,
            ca_file: self.ca_file.clone(),
            pool_size: self.pool_size,
            timeout: self.timeout,
            result_bytes_max: self.result_bytes_max,
        })
    }
}

/// The same config for another host.
fn without_hosts(config: &Config) -> Config {
    let mut other = Config::new();
    if let Some(user) = config.get_user() {
        other.user(user);
    }
    if let Some(password) = config.get_password() {
        other.password(password);
    }
    if let Some(database) = config.get_dbname() {
        other.dbname(database);
    }
    other.ssl_mode(config.get_ssl_mode());
    other
}

/// What a message may say of a server.
pub(super) fn shown(config: &Config) -> String {
    let hosts = config.get_hosts().iter().map(|host| match host {
        Host::Tcp(name) => name.clone(),
        Host::Unix(path) => path.display().to_string(),
    });
    hosts.collect::<Vec<_>>().join(",")
}

fn number(key: &str, value: &str, max: usize) -> Result<usize, PostgresError> {
    match value.parse() {
        Ok(number) if (1..=max).contains(&number) => Ok(number),
        _ => Err(wrong(key, value, &format!("a number from 1 to {max}"))),
    }
}

fn wrong(key: &str, value: &str, expected: &str) -> PostgresError {
    let value: String = value.chars().take(60).flat_map(char::escape_debug).collect();
    bad(key, &format!("`{value}` is not {expected}"))
}

fn bad(key: &str, reason: &str) -> PostgresError {
    PostgresError::Config { key: key.into(), reason: reason.into() }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn values(pairs: &[(&str, &str)]) -> Values {
        pairs.iter().map(|(key, value)| (key.to_string(), value.to_string())).collect()
    }

    const WHOLE: [(&str, &str); 6] = [
        ("POSTGRES_HOST", "db.example"),
        ("POSTGRES_PORT", "5433"),
        ("POSTGRES_USERNAME", "me"),
        ("POSTGRES_PASSWORD", "s3cret"),
        ("POSTGRES_DATABASE", "shop"),
        ("POSTGRES_TLS_REQUIRED", "yes"),
    ];

    #[test]
    fn config_of_wasmcloud_is_read() {
        let settings = Settings::read(&values(&WHOLE), &values(&[])).expect("good");
        let place = settings.place().expect("whole");
        assert_eq!(place.config.get_hosts(), [Host::Tcp("db.example".into())]);
        assert_eq!((place.config.get_ports(), place.config.get_user()), ([5433].as_slice(), Some("me")));
        assert_eq!(
            (place.config.get_dbname(), place.config.get_ssl_mode()),
            (Some("shop"), SslMode::Require)
        );
        assert!(!format!("{settings:?}").contains("s3cret"));
    }

    #[test]
    fn a_link_for_another_server_does_not_get_the_providers_password() {
        let link = values(&[("POSTGRES_HOST", "evil.example"), ("POSTGRES_USERNAME", "me")]);
        let place =
            Settings::read(&values(&WHOLE), &link).and_then(|settings| settings.place()).expect("whole");
        assert_eq!(place.config.get_password(), None);
        let link = values(&[("url", "postgres://you@evil.example/x")]);
        let place =
            Settings::read(&values(&WHOLE), &link).and_then(|settings| settings.place()).expect("whole");
        assert_eq!((place.config.get_password(), place.config.get_user()), (None, Some("you")));
        let link = values(&[("POSTGRES_DATABASE", "other")]);
        let place =
            Settings::read(&values(&WHOLE), &link).and_then(|settings| settings.place()).expect("whole");
        assert_eq!(
            (place.config.get_password(), place.config.get_dbname()),
            (Some(b"s3cret".as_slice()), Some("other"))
        );
    }

    #[test]
    fn what_is_wrong_is_told_without_secrets() {
        for (key, value) in [
            ("url", "postgres://me:s3cret@host:port/db"),
            ("url", "mysql://me:s3cret@host"),
            ("POSTGRES_PORT", "0"),
            ("POSTGRES_HOST", ""),
            ("POSTGRES_PASSWORD", "s3cret\0"),
            ("POSTGRES_TLS_REQUIRED", "maybe"),
            ("POSTGRES_POOL_SIZE", "0"),
            ("ca_file", "ca.pem"),
            ("timeout_ms", "-1"),
            ("result_bytes_max", "99999999999"),
            ("POSTGRES_USER", "me"),
        ] {
            let error = Settings::read(&values(&[(key, value)]), &values(&[])).expect_err(key);
            assert!(matches!(error, PostgresError::Config { .. }), "{key}: {error}");
            assert!(!format!("{error:?}").contains("s3cret"), "{error:?}");
        }
        assert!(Settings::read(&values(&[]), &values(&[])).expect("links may say it").place().is_err());
    }
}
