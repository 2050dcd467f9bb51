//! PKCS#11 URIs ([RFC 7512](https://www.rfc-editor.org/rfc/rfc7512)).
//!
//! Read strictly: an attribute twice, an unknown attribute and a broken escape are errors, for a
//! part of a URI that is silently ignored may select another key than was meant.

use std::fmt;
use std::path::PathBuf;

use custos_net::{Secret, percent_encode};

/// A token, an object on it, and how to get there.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Pkcs11Uri {
    /// Label of the token (`token`).
    pub token: Option<String>,
    /// Serial number of the token (`serial`).
    pub serial: Option<String>,
    /// Manufacturer of the token (`manufacturer`).
    pub manufacturer: Option<String>,
    /// Model of the token (`model`).
    pub model: Option<String>,
    /// Number of the slot (`slot-id`).
    pub slot_id: Option<u64>,
    /// Label of the object, `CKA_LABEL` (`object`).
    pub object: Option<String>,
    /// Identifier of the object, `CKA_ID` (`id`): bytes.
    pub id: Option<Vec<u8>>,
    /// Class of the object (`type`): `private`, `public`, `cert`, `secret-key` or `data`.
    pub class: Option<String>,
    /// Path of the module (`module-path`).
    pub module_path: Option<PathBuf>,
    /// Name of the module (`module-name`).
    pub module_name: Option<String>,
    /// The PIN (`pin-value`). On a command line everybody can read it; prefer `pin_source`.
    pub pin: Option<Secret>,
    /// File with the PIN (`pin-source`), without `file:`.
    pub pin_source: Option<PathBuf>,
}

impl std::hash::Hash for Pkcs11Uri {
    fn hash<H: std::hash::Hasher>(&self, state: &mut H) {
        self.to_string().hash(state);
    }
}

impl Pkcs11Uri {
    /// Parses what follows `pkcs11:`.
    pub(super) fn parse(rest: &str) -> Result<Self, Pkcs11Error> {
        let (path, query) = match rest.split_once('?') {
            Some((path, query)) => (path, Some(query)),
            None => (rest, None),
        };
        let mut uri = Self::default();
        for attribute in path.split(';').filter(|part| !part.is_empty()) {
            let (name, value) = split(attribute)?;
            uri.set_path(name, value)?;
        }
        for attribute in query
            .unwrap_or_default()
            .split('&')
            .filter(|part| !part.is_empty())
        {
            let (name, value) = split(attribute)?;
            uri.set_query(name, value)?;
        }
        if uri.object.is_none() && uri.id.is_none() {
            return Err(Pkcs11Error::NoObject);
        }
        if uri.pin.is_some() && uri.pin_source.is_some() {
            return Err(Pkcs11Error::TwoPins);
        }
        Ok(uri)
    }

    fn set_path(&mut self, name: &str, value: Vec<u8>) -> Result<(), Pkcs11Error> {
        match name {
            "id" => return once(&mut self.id, name, value),
            "slot-id" => {
                let number = text(name, value)?.parse().map_err(|_| Pkcs11Error::Value {
                    name: name.to_owned(),
                })?;
                return once(&mut self.slot_id, name, number);
            }
            _ => {}
        }
        let field = match name {
            "token" => &mut self.token,
            "serial" => &mut self.serial,
            "manufacturer" => &mut self.manufacturer,
            "model" => &mut self.model,
            "object" => &mut self.object,
            "type" => &mut self.class,
            _ => return Err(unknown(name)),
        };
        let value = text(name, value)?;
        let classes = ["private", "public", "cert", "secret-key", "data"];
        if name == "type" && !classes.contains(&value.as_str()) {
            return Err(Pkcs11Error::Value {
                name: name.to_owned(),
            });
        }
        once(field, name, value)
    }

    fn set_query(&mut self, name: &str, value: Vec<u8>) -> Result<(), Pkcs11Error> {
        let value = text(name, value)?;
        match name {
            "module-path" => once(&mut self.module_path, name, value.into()),
            "module-name" => once(&mut self.module_name, name, value),
            "pin-value" => once(&mut self.pin, name, Secret::new(value)),
            "pin-source" => {
                // RFC 7512 leaves the meaning open; a command to run (`|...`) is refused.
                let path = value.strip_prefix("file:").unwrap_or(&value);
                let path = path.strip_prefix("//").unwrap_or(path);
                if path.is_empty() || path.starts_with('|') {
                    return Err(Pkcs11Error::Value {
                        name: name.to_owned(),
                    });
                }
                once(&mut self.pin_source, name, path.into())
            }
            _ => Err(unknown(name)),
        }
    }
}

fn once<T>(field: &mut Option<T>, name: &str, value: T) -> Result<(), Pkcs11Error> {
    match field.replace(value) {
        None => Ok(()),
        Some(_) => Err(Pkcs11Error::Twice {
            name: name.to_owned(),
        }),
    }
}

fn unknown(name: &str) -> Pkcs11Error {
    Pkcs11Error::Unknown {
        name: name.chars().take(32).collect(),
    }
}

fn split(attribute: &str) -> Result<(&str, Vec<u8>), Pkcs11Error> {
    let (name, value) = attribute
        .split_once('=')
        .ok_or_else(|| unknown(attribute))?;
    let value = percent_decode(value).ok_or_else(|| Pkcs11Error::Value {
        name: name.chars().take(32).collect(),
    })?;
    Ok((name, value))
}

fn text(name: &str, value: Vec<u8>) -> Result<String, Pkcs11Error> {
    String::from_utf8(value)
        .ok()
        .filter(|text| !text.contains('\0'))
        .ok_or_else(|| Pkcs11Error::Value {
            name: name.to_owned(),
        })
}

fn percent_decode(text: &str) -> Option<Vec<u8>> {
    let mut out = Vec::with_capacity(text.len());
    let mut bytes = text.bytes();
    while let Some(byte) = bytes.next() {
        if byte == b'%' {
            let digits = [bytes.next()?, bytes.next()?];
            let mut decoded = [0];
            hex::decode_to_slice(digits, &mut decoded).ok()?;
            out.extend(decoded);
        } else {
            out.push(byte);
        }
    }
    Some(out)
}

impl fmt::Display for Pkcs11Uri {
    /// Writes the URI without its PIN.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let texts = [
            ("token", &self.token),
            ("serial", &self.serial),
            ("manufacturer", &self.manufacturer),
            ("model", &self.model),
            ("object", &self.object),
            ("type", &self.class),
        ];
        let mut path: Vec<String> = texts
            .iter()
            .filter_map(|(name, value)| Some((name, value.as_ref()?)))
            .map(|(name, value)| format!("{name}={}", percent_encode(value)))
            .collect();
        path.extend(self.slot_id.map(|number| format!("slot-id={number}")));
        path.extend(self.id.as_ref().map(|id| {
            let bytes: Vec<String> = id.iter().map(|byte| format!("%{byte:02X}")).collect();
            format!("id={}", bytes.concat())
        }));
        let paths = [
            ("module-path", &self.module_path),
            ("pin-source", &self.pin_source),
        ];
        let mut query: Vec<String> = paths
            .iter()
            .filter_map(|(name, value)| Some((name, value.as_ref()?)))
            .map(|(name, value)| format!("{name}={}", percent_encode(&value.to_string_lossy())))
            .collect();
        let name = self.module_name.as_ref();
        query.extend(name.map(|name| format!("module-name={}", percent_encode(name))));
        write!(f, "pkcs11:{}", path.join(";"))?;
        if query.is_empty() {
            Ok(())
        } else {
            write!(f, "?{}", query.join("&"))
        }
    }
}

/// Why a text is not a PKCS#11 URI that names a key.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Pkcs11Error {
    /// Neither `object` nor `id`.
    #[error("it names no key: `object` or `id` is needed")]
    NoObject,
    /// An attribute stands twice.
    #[error("`{name}` stands twice")]
    Twice {
        /// Its name.
        name: String,
    },
    /// Both `pin-value` and `pin-source`.
    #[error("`pin-value` and `pin-source` exclude each other")]
    TwoPins,
    /// An attribute that RFC 7512 does not have, or that selects nothing here.
    #[error("`{name}` is not an attribute that selects a key")]
    Unknown {
        /// Its name, shortened to 32 characters.
        name: String,
    },
    /// A broken escape, not UTF-8, not a number, or a value that is not allowed.
    #[error("the value of `{name}` is not accepted")]
    Value {
        /// The attribute.
        name: String,
    },
}
