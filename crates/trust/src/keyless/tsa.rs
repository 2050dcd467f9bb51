//! RFC 3161 timestamps over HTTP.
//!
//! The request has no nonce: it is over a signature that nobody has seen before, so no answer can
//! be older than the question.

use custos_core::crypto::sha256;
use custos_net::{Client, NetError, Request, Url};

/// Returns the DER of a `TimeStampReq` over SHA-256 of `signature`, asking for the certificate.
pub(super) fn request(signature: &[u8]) -> Vec<u8> {
    // SEQUENCE { 1, SEQUENCE { SEQUENCE { sha256, NULL }, OCTET STRING of 32 }, TRUE }
    const HEAD: [u8; 24] = [
        0x30, 0x39, 0x02, 0x01, 0x01, 0x30, 0x31, 0x30, 0x0d, 0x06, 0x09, 0x60, 0x86, 0x48, 0x01,
        0x65, 0x03, 0x04, 0x02, 0x01, 0x05, 0x00, 0x04, 0x20,
    ];
    [&HEAD[..], &sha256(signature), &[0x01, 0x01, 0xff]].concat()
}

/// Gets a timestamp over `signature`; what comes back is not believed yet.
pub(super) fn stamp(client: &Client, url: &Url, signature: &[u8]) -> Result<Vec<u8>, NetError> {
    let request = Request::post(
        url.clone(),
        "application/timestamp-query",
        request(signature),
    )
    .with_header("accept", "application/timestamp-reply");
    let answer = client.send(&request)?.success()?;
    Ok(answer.body().to_vec())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_request_is_of_its_form() {
        let der = request(b"signature");
        assert_eq!(der.len(), 59);
        assert_eq!(usize::from(der[1]) + 2, der.len());
        assert_eq!(usize::from(der[6]) + 7 + 3, der.len());
        assert_eq!(der[24..56], sha256(b"signature"));
    }
}
