//! S3, and what speaks its language
//! ([API](https://docs.aws.amazon.com/AmazonS3/latest/API/API_ListObjectsV2.html)).
//!
//! An endpoint that a variable names is asked with the bucket in the path, which all of them
//! understand; AWS itself with the bucket in the host, unless that holds dots.

use std::ops::Range;

use custos_net::{Client, Method, Redirects, Request, Url, percent_encode};
use custos_trust::signers::Surroundings;
use custos_trust::signers::kms::AwsAccount;

use super::read::{checked, header, is_sound, refused, send};
use super::xml::{decode_percent, elements, text};
use super::{MAX_PAGE, Object, ObjectError, Page, Prefix, Store, TIMES};

pub(super) struct Bucket {
    account: AwsAccount,
    client: Client,
    endpoint: Url,
    // The path of the bucket at the endpoint, without a slash at its end.
    base: String,
    prefix: String,
    name: String,
}

impl Bucket {
    pub(super) fn open(prefix: &Prefix, surroundings: &Surroundings) -> Result<Self, ObjectError> {
        let account = AwsAccount::open(surroundings)?;
        let (endpoint, in_host) = account.s3(prefix.bucket())?;
        let root = endpoint.path().trim_end_matches('/').to_owned();
        let base = if in_host {
            root
        } else {
            format!("{root}/{}", prefix.bucket())
        };
        let settings = account.settings(&endpoint)?;
        let client = Client::new(
            settings
                .with_redirects(Redirects::Never)
                .with_times(TIMES.0, TIMES.1)
                .with_max_answer(MAX_PAGE),
        )?;
        Ok(Self {
            account,
            client,
            endpoint,
            base,
            prefix: prefix.path().to_owned(),
            name: prefix.to_string(),
        })
    }

    fn url(&self, below: &str) -> Result<Url, ObjectError> {
        let path = format!("{}/{below}", self.base);
        let url = self.endpoint.with_path(&path);
        url.map_err(|_| ObjectError::NotAPlace { text: path })
    }

    fn get(&self, url: &Url, headers: Vec<(&'static str, String)>) -> Result<Request, ObjectError> {
        Ok(self.account.s3_request(Method::Get, url, headers)?)
    }
}

impl Store for Bucket {
    fn page(&self, after: Option<&str>) -> Result<Page, ObjectError> {
        let mut query = format!(
            "?encoding-type=url&list-type=2&prefix={}",
            percent_encode(&self.prefix)
        );
        if let Some(after) = after {
            query = format!(
                "?continuation-token={}&{}",
                percent_encode(after),
                query.trim_start_matches('?')
            );
        }
        let url = self.url(&query)?;
        let what = format!("listing {}", self.name);
        let answer = send(&self.client, &what, &|| self.get(&url, Vec::new()))?;
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
        let url = self.url(&parts.join("/"))?;
        let headers = || vec![("if-match", object.etag.clone()), ("range", header(&range))];
        let what = format!("reading {}", object.key);
        let answer = send(&self.client, &what, &|| self.get(&url, headers()))?;
        checked(object, &range, answer)
    }
}

fn parse(xml: &str) -> Option<Page> {
    xml.contains("<ListBucketResult").then_some(())?;
    let mut objects = Vec::new();
    for entry in elements(xml, "Contents") {
        objects.push(Object {
            // Keys are escaped as in a form, as was asked for.
            key: decode_percent(&text(entry, "Key")?, true)?,
            size: text(entry, "Size")?.parse().ok()?,
            etag: text(entry, "ETag")?,
        });
    }
    let more = text(xml, "IsTruncated").as_deref() == Some("true");
    let next = text(xml, "NextContinuationToken");
    if more && next.is_none() {
        return None;
    }
    Some(Page {
        objects,
        next: next.filter(|_| more),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_documented_list() {
        let xml = "<?xml version=\"1.0\"?><ListBucketResult><IsTruncated>true</IsTruncated>\
            <NextContinuationToken>1ueG&amp;=</NextContinuationToken>\
            <Contents><Key>a%2Fb+c.bin</Key><ETag>&quot;d41d&quot;</ETag><Size>12</Size></Contents>\
            </ListBucketResult>";
        let page = parse(xml).unwrap();
        assert_eq!(page.next.as_deref(), Some("1ueG&="));
        let [object] = page.objects.as_slice() else {
            panic!("{page:?}");
        };
        assert_eq!((object.key.as_str(), object.size), ("a/b c.bin", 12));
        assert_eq!(object.etag, "\"d41d\"");
        assert_eq!(parse("<Error></Error>"), None);
        assert_eq!(parse(&xml.replace("<Size>12", "<Size>x")), None);
        assert_eq!(parse(&xml.replace("NextCont", "Cont")), None);
    }
}
