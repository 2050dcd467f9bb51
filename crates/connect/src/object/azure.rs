//! Azure Blob Storage
//! ([REST API](https://learn.microsoft.com/rest/api/storageservices/blob-service-rest-api)).
//!
//! Access as Azure's own tools find it: `AZURE_STORAGE_CONNECTION_STRING`, or `AZURE_STORAGE_ACCOUNT`
//! with `AZURE_STORAGE_KEY` or `AZURE_STORAGE_SAS_TOKEN`, and `AZURE_STORAGE_SERVICE_ENDPOINT` for
//! another place than Azure's own. `UseDevelopmentStorage=true` is the emulator on this machine.

use std::ops::Range;

use aws_lc_rs::hmac;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use custos_core::clock::Timestamp;
use custos_net::{Client, Redirects, Request, Roots, Secret, Url, percent_encode};
use custos_trust::signers::{Surroundings, SurroundingsError};
use zeroize::Zeroizing;

use super::read::{checked, header, is_sound, refused, send};
use super::xml::{decode_percent, elements, text};
use super::{MAX_PAGE, Object, ObjectError, Page, Prefix, Store, TIMES};

const VERSION: &str = "2021-12-02";
/// What `UseDevelopmentStorage=true` stands for: the account of the emulator, whose key is public
/// (<https://learn.microsoft.com/azure/storage/common/storage-use-azurite>).
const DEVELOPMENT: &str = "AccountName=devstoreaccount1;\
    AccountKey=Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw==;\
    BlobEndpoint=http://127.0.0.1:10000/devstoreaccount1";

pub(super) struct Container {
    client: Client,
    endpoint: Url,
    account: String,
    access: Access,
    // The path of the container at the endpoint.
    base: String,
    prefix: String,
    name: String,
    surroundings: Surroundings,
}

enum Access {
    /// A key of the account, as bytes.
    Key(Zeroizing<Vec<u8>>),
    /// A shared access signature: a query.
    Signature(Secret),
}

impl Container {
    pub(super) fn open(prefix: &Prefix, surroundings: &Surroundings) -> Result<Self, ObjectError> {
        let found = Settings::find(surroundings)?;
        let endpoint: Url = found
            .endpoint
            .parse()
            .map_err(|_| SurroundingsError::NotAUrl {
                name: "Azure storage endpoint".to_owned(),
            })?;
        let settings = surroundings.settings(&endpoint, Roots::System)?;
        let client = Client::new(
            settings
                .with_redirects(Redirects::Never)
                .with_times(TIMES.0, TIMES.1)
                .with_max_answer(MAX_PAGE),
        )?;
        let root = endpoint.path().trim_end_matches('/').to_owned();
        Ok(Self {
            client,
            base: format!("{root}/{}", prefix.bucket()),
            endpoint,
            account: found.account,
            access: found.access,
            prefix: prefix.path().to_owned(),
            name: prefix.to_string(),
            surroundings: surroundings.clone(),
        })
    }

    // `query` holds names and values, not escaped, in the order of the names.
    fn request(
        &self,
        path: &str,
        query: &[(&str, &str)],
        headers: &[(&str, String)],
    ) -> Result<Request, ObjectError> {
        let escaped: Vec<String> = query
            .iter()
            .map(|(name, value)| format!("{name}={}", percent_encode(value)))
            .collect();
        let mut whole = escaped.join("&");
        if let Access::Signature(signature) = &self.access {
            let signature = signature.expose().trim_start_matches('?');
            whole = [whole.as_str(), signature]
                .map(str::to_owned)
                .into_iter()
                .filter(|part| !part.is_empty())
                .collect::<Vec<_>>()
                .join("&");
        }
        let target = if whole.is_empty() {
            path.to_owned()
        } else {
            format!("{path}?{whole}")
        };
        let url = self
            .endpoint
            .with_path(&target)
            .map_err(|_| ObjectError::NotAPlace {
                text: path.to_owned(),
            })?;
        let date = http_date(self.surroundings.clock().now());
        let mut request = Request::get(url)
            .with_header("x-ms-date", &date)
            .with_header("x-ms-version", VERSION);
        for (name, value) in headers {
            request = request.with_header(name, value);
        }
        if let Access::Key(key) = &self.access {
            let to_sign = self.to_sign(path, query, (headers, &date));
            let tag = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, key), to_sign.as_bytes());
            let value = format!("SharedKey {}:{}", self.account, STANDARD.encode(tag));
            request = request.with_secret_header("authorization", value.as_str().into());
        }
        Ok(request)
    }

    // https://learn.microsoft.com/rest/api/storageservices/authorize-with-shared-key
    fn to_sign(
        &self,
        path: &str,
        query: &[(&str, &str)],
        (headers, date): (&[(&str, String)], &str),
    ) -> String {
        let of = |name: &str| {
            let found = headers.iter().find(|(known, _)| *known == name);
            found.map_or("", |(_, value)| value.as_str())
        };
        let resource: Vec<String> = query
            .iter()
            .map(|(name, value)| format!("\n{name}:{value}"))
            .collect();
        let resource = resource.concat();
        format!(
            "GET\n\n\n\n\n\n\n\n{}\n\n\n{}\nx-ms-date:{date}\nx-ms-version:{VERSION}\n/{}{path}{resource}",
            of("if-match"),
            of("range"),
            self.account,
        )
    }
}

impl Store for Container {
    fn page(&self, after: Option<&str>) -> Result<Page, ObjectError> {
        let mut query = vec![("comp", "list")];
        query.extend(after.map(|after| ("marker", after)));
        query.push(("prefix", &self.prefix));
        query.push(("restype", "container"));
        let what = format!("listing {}", self.name);
        let answer = send(&self.client, &what, &|| {
            self.request(&self.base, &query, &[])
        })?;
        if answer.status() != 200 {
            return Err(refused(&what, &answer));
        }
        let xml = std::str::from_utf8(answer.body()).unwrap_or_default();
        parse(xml).ok_or(ObjectError::Answer {
            what: "it is not the documented list",
        })
    }

    fn read(&self, object: &Object, range: Range<u64>) -> Result<Vec<u8>, ObjectError> {
        if !is_sound(object, &range) {
            return Err(ObjectError::Answer {
                what: "a range outside of the object",
            });
        }
        let parts: Vec<String> = object.key.split('/').map(percent_encode).collect();
        let path = format!("{}/{}", self.base, parts.join("/"));
        // Headers want the quotes that lists leave out.
        let etag = format!("\"{}\"", object.etag.trim_matches('"'));
        let headers = [("if-match", etag), ("range", header(&range))];
        let what = format!("reading {}", object.key);
        let answer = send(&self.client, &what, &|| self.request(&path, &[], &headers))?;
        checked(object, &range, answer)
    }
}

struct Settings {
    account: String,
    endpoint: String,
    access: Access,
}

impl Settings {
    fn find(surroundings: &Surroundings) -> Result<Self, ObjectError> {
        let string = surroundings
            .var("AZURE_STORAGE_CONNECTION_STRING")
            .map(Zeroizing::new)
            .unwrap_or_default();
        let is_emulator = setting(&string, "UseDevelopmentStorage").as_deref() == Some("true");
        let string = if is_emulator {
            DEVELOPMENT
        } else {
            string.as_str()
        };
        let part = |name: &str| setting(string, name);
        let or = |name: &str, variable: &str| part(name).or_else(|| surroundings.var(variable));
        let missing = |what| SurroundingsError::Missing {
            what,
            help: "set AZURE_STORAGE_CONNECTION_STRING, or AZURE_STORAGE_ACCOUNT with \
                   AZURE_STORAGE_KEY or AZURE_STORAGE_SAS_TOKEN",
        };
        let account = or("AccountName", "AZURE_STORAGE_ACCOUNT");
        let account = account.ok_or_else(|| missing("the Azure storage account"))?;
        // It becomes part of a host name.
        if !account
            .bytes()
            .all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit())
        {
            return Err(missing("the name of an Azure storage account").into());
        }
        let endpoint = or("BlobEndpoint", "AZURE_STORAGE_SERVICE_ENDPOINT").unwrap_or_else(|| {
            let suffix = part("EndpointSuffix");
            let suffix = suffix.as_deref().unwrap_or("core.windows.net");
            format!("https://{account}.blob.{suffix}")
        });
        let key = or("AccountKey", "AZURE_STORAGE_KEY").map(Zeroizing::new);
        let signature = or("SharedAccessSignature", "AZURE_STORAGE_SAS_TOKEN");
        let access = match (key, signature) {
            (Some(key), _) => {
                let key = STANDARD.decode(key.as_bytes());
                let key = key.map_err(|_| missing("a key of an Azure storage account"))?;
                Access::Key(Zeroizing::new(key))
            }
            (None, Some(signature)) => Access::Signature(signature.as_str().into()),
            (None, None) => return Err(missing("access to Azure storage").into()),
        };
        Ok(Self {
            account,
            endpoint,
            access,
        })
    }
}

// A setting of a connection string.
fn setting(string: &str, name: &str) -> Option<String> {
    let parts = string.split(';').filter_map(|part| part.split_once('='));
    let mut found = parts.filter(|(known, _)| known.trim().eq_ignore_ascii_case(name));
    found.next().map(|(_, value)| value.trim().to_owned())
}

fn parse(xml: &str) -> Option<Page> {
    xml.contains("<EnumerationResults").then_some(())?;
    let mut objects = Vec::new();
    for entry in elements(xml, "Blob") {
        // Accounts with folders list these as well.
        if text(entry, "ResourceType").as_deref() == Some("directory") {
            continue;
        }
        let key = if elements(entry, "Name").is_empty() {
            // A name that XML cannot carry is escaped, and says so.
            let (_, rest) = entry.split_once("<Name Encoded=\"true\">")?;
            decode_percent(rest.split("</Name>").next()?, false)?
        } else {
            text(entry, "Name")?
        };
        objects.push(Object {
            key,
            size: text(entry, "Content-Length")?.parse().ok()?,
            etag: text(entry, "Etag")?,
        });
    }
    Some(Page {
        objects,
        next: text(xml, "NextMarker"),
    })
}

// RFC 9110 section 5.6.7: `Sun, 06 Nov 1994 08:49:37 GMT`.
fn http_date(now: Timestamp) -> String {
    const DAYS: [&str; 7] = ["Thu", "Fri", "Sat", "Sun", "Mon", "Tue", "Wed"];
    const MONTHS: [&str; 12] = [
        "Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec",
    ];
    // `1994-11-06T08:49:37Z`; the first of January 1970 was a Thursday.
    let text = Timestamp::from_seconds(now.as_seconds()).to_string();
    let part = |range: Range<usize>| text.get(range).unwrap_or_default();
    let month = part(5..7).parse::<usize>().unwrap_or(1).saturating_sub(1);
    let day = now.as_seconds().div_euclid(86_400).rem_euclid(7);
    let day = usize::try_from(day).unwrap_or(0);
    format!(
        "{}, {} {} {} {} GMT",
        DAYS.get(day).unwrap_or(&"Thu"),
        part(8..10),
        MONTHS.get(month).unwrap_or(&"Jan"),
        part(0..4),
        part(11..19)
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_are_those_of_http() {
        let date = |text: &str| http_date(text.parse().unwrap());
        assert_eq!(
            date("1994-11-06T08:49:37Z"),
            "Sun, 06 Nov 1994 08:49:37 GMT"
        );
        assert_eq!(
            date("2024-02-29T23:59:59.5Z"),
            "Thu, 29 Feb 2024 23:59:59 GMT"
        );
    }

    #[test]
    fn the_documented_list() {
        let xml = "<?xml version=\"1.0\"?><EnumerationResults><Blobs><Blob><Name>a/b &amp; c</Name>\
            <Properties><Content-Length>7</Content-Length><Etag>0x8D</Etag></Properties></Blob>\
            <Blob><Name Encoded=\"true\">a%EF%BF%BE</Name><Properties><Etag>0x9</Etag>\
            <Content-Length>0</Content-Length></Properties></Blob>\
            <Blob><Name>dir</Name><Properties><Etag>0x7</Etag><ResourceType>directory</ResourceType>\
            <Content-Length>0</Content-Length></Properties></Blob></Blobs><NextMarker>m</NextMarker>\
            </EnumerationResults>";
        let page = parse(xml).unwrap();
        assert_eq!(page.next.as_deref(), Some("m"));
        let keys: Vec<&str> = page.objects.iter().map(|one| one.key.as_str()).collect();
        assert_eq!(keys, ["a/b & c", "a\u{fffe}"]);
        assert_eq!(page.objects[0].etag, "0x8D");
        assert_eq!(parse("<html></html>"), None);
    }

    #[test]
    fn connection_strings_name_other_clouds_and_the_emulator() {
        let found = |string: &'static str| {
            let look_up = move |name: &str| {
                (name == "AZURE_STORAGE_CONNECTION_STRING").then(|| string.to_owned())
            };
            let clock =
                custos_core::clock::FixedClock::new("2026-11-01T12:00:00Z".parse().unwrap());
            Settings::find(&Surroundings::new(look_up, std::sync::Arc::new(clock)))
        };
        let endpoint = |string| found(string).unwrap().endpoint;
        assert_eq!(
            endpoint("AccountName=acct;AccountKey=c2VjcmV0;EndpointSuffix=core.chinacloudapi.cn"),
            "https://acct.blob.core.chinacloudapi.cn"
        );
        assert_eq!(
            endpoint("UseDevelopmentStorage=true;"),
            "http://127.0.0.1:10000/devstoreaccount1"
        );
        assert!(found("AccountName=acct").is_err());
        assert!(found("AccountName=a/b;AccountKey=c2VjcmV0").is_err());
    }
}
