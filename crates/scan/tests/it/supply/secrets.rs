//! Secrets: each kind, made up here, and texts that only look like one.

use custos_core::digest::Algorithm;
use custos_core::finding::{Finding, Severity};
use custos_scan::fuzz::secrets;
use proptest::prelude::*;

const LETTERS: &[u8] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789";
const BASE32: &[u8] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZ234567";
const HEX: &[u8] = b"0123456789abcdef";

/// Returns characters that look random, the same each time.
fn random(alphabet: &[u8], len: usize, seed: u32) -> String {
    let blocks = (0_u32..).flat_map(|block| {
        let text = format!("{seed}/{block}");
        let digest = Algorithm::Sha256.digest(text.as_bytes()).to_hex();
        let bytes: Vec<usize> = (0..digest.len() / 2)
            .map(|at| usize::from_str_radix(&digest[2 * at..2 * at + 2], 16).unwrap())
            .collect();
        bytes
    });
    blocks
        .take(len)
        .map(|byte| char::from(alphabet[byte % alphabet.len()]))
        .collect()
}

fn checked(prefix: &str) -> String {
    const DIGITS: &[u8] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
    let body = random(LETTERS, 30, 7);
    let mut number = crc32fast::hash(body.as_bytes());
    let mut sum = String::new();
    for _ in 0..6 {
        sum.insert(0, char::from(DIGITS[(number % 62) as usize]));
        number /= 62;
    }
    format!("{prefix}{body}{sum}")
}

fn base64(bytes: &[u8]) -> String {
    use base64::Engine;
    base64::engine::general_purpose::STANDARD.encode(bytes)
}

fn url64(bytes: &[u8]) -> String {
    use base64::Engine;
    base64::engine::general_purpose::URL_SAFE_NO_PAD.encode(bytes)
}

fn key(label: &str, bytes: &[u8]) -> String {
    format!(
        "-----BEGIN {label}-----\n{}\n-----END {label}-----\n",
        base64(bytes)
    )
}

fn der() -> Vec<u8> {
    let body = random(LETTERS, 300, 3);
    let mut der = vec![0x30, 0x82, 1, 44];
    der.extend(body.as_bytes());
    der
}

fn token(claims: &str) -> String {
    let header = url64(br#"{"alg":"HS256","typ":"JWT"}"#);
    format!(
        "{header}.{}.{}",
        url64(claims.as_bytes()),
        random(LETTERS, 43, 1)
    )
}

#[allow(clippy::too_many_lines, reason = "a table of cases")]
fn kinds() -> Vec<(&'static str, String, Severity)> {
    use Severity::{High, Low, Medium};
    let letters = |len| random(LETTERS, len, 1);
    let hex = |len| random(HEX, len, 2);
    let aws = format!("AKIA{}", random(BASE32, 16, 1));
    vec![
        ("service-token", checked("ghp_"), High),
        ("service-token", checked("npm_"), High),
        ("service-token", format!("ghs_{}", letters(36)), Low),
        (
            "service-token",
            format!("github_pat_{}_{}", letters(22), letters(59)),
            High,
        ),
        ("service-token", format!("glpat-{}", letters(20)), High),
        ("service-token", format!("hf_{}", letters(34)), High),
        (
            "service-token",
            format!("sk-proj-{}T3BlbkFJ{}", letters(40), letters(40)),
            High,
        ),
        (
            "service-token",
            format!("sk-{}T3BlbkFJ{}", letters(20), letters(20)),
            High,
        ),
        (
            "service-token",
            format!("sk-ant-api03-{}AA", letters(93)),
            High,
        ),
        ("service-token", format!("gsk_{}", letters(52)), High),
        ("service-token", format!("r8_{}", letters(37)), High),
        ("service-token", format!("nvapi-{}", letters(64)), High),
        (
            "service-token",
            format!("wandb_api_key = '{}'", hex(40)),
            High,
        ),
        ("service-token", format!("dapi{}", hex(32)), High),
        (
            "service-token",
            format!(
                "pypi-{}",
                url64(format!("\u{2}\u{1}\u{8}pypi.org{}", letters(60)).as_bytes())
            ),
            High,
        ),
        (
            "service-token",
            format!("xoxb-{}-{}-{}", "2154098213", "4310982134", letters(24)),
            High,
        ),
        (
            "service-token",
            format!(
                "https://hooks.slack.com/services/T{0}/B{0}/{1}",
                "0A1B2C3D4",
                letters(24)
            ),
            High,
        ),
        ("service-token", format!("sk_live_{}", letters(24)), High),
        ("service-token", format!("sk_test_{}", letters(24)), Low),
        (
            "service-token",
            format!("twilio_token: {}", hex(32)),
            Medium,
        ),
        (
            "service-token",
            format!("SG.{}.{}", letters(22), letters(43)),
            High,
        ),
        (
            "service-token",
            format!("{}.atlasv1.{}", letters(14), letters(64)),
            High,
        ),
        ("cloud-key", aws.clone(), Medium),
        ("cloud-key", format!("{aws}\n{}", letters(40)), High),
        (
            "cloud-key",
            format!("aws_secret_access_key={}", letters(40)),
            High,
        ),
        ("cloud-key", format!("AIza{}", letters(35)), Medium),
        (
            "cloud-key",
            format!(
                "AccountName=x;AccountKey={}",
                base64(random(LETTERS, 64, 9).as_bytes())
            ),
            High,
        ),
        (
            "cloud-key",
            format!("{}8Q~{}", &letters(3), letters(34)),
            High,
        ),
        ("private-key", key("RSA PRIVATE KEY", &der()), High),
        (
            "private-key",
            key("PRIVATE KEY", &der()).replace('\n', "\\n"),
            High,
        ),
        (
            "private-key",
            key(
                "OPENSSH PRIVATE KEY",
                b"openssh-key-v1\0\0\0\0\x04none\0\0\0\x04none01234567890",
            ),
            High,
        ),
        (
            "private-key",
            key(
                "OPENSSH PRIVATE KEY",
                b"openssh-key-v1\0\0\0\0\x0aaes256-ctr\0\0\0\x06bcrypt0123456",
            ),
            Low,
        ),
        ("private-key", key("ENCRYPTED PRIVATE KEY", &der()), Low),
        ("web-token", token(r#"{"sub":"u-81","admin":true}"#), Medium),
        (
            "web-token",
            token(r#"{"sub":"u-81","exp":1516239022}"#),
            Low,
        ),
        (
            "password-in-url",
            "postgres://svc:kW9!x7fQ2z@db.prod.internal/x".to_owned(),
            Medium,
        ),
        (
            "assigned",
            format!("client_secret = \"{}\"", letters(32)),
            Medium,
        ),
        (
            "assigned",
            format!("{{\"api_key\": \"{}\"}}", hex(32)),
            Medium,
        ),
        ("assigned", format!("DB_PASSWORD={}", letters(24)), Medium),
    ]
}

fn outcome(found: &[Finding]) -> Vec<(&str, Severity)> {
    found
        .iter()
        .map(|one| (one.rule.strip_prefix("secret/").unwrap(), one.severity))
        .collect()
}

#[test]
fn each_kind_is_found_in_plain_and_in_json_texts() {
    for (rule, text, severity) in kinds() {
        for text in [format!("first line\n{text}\n"), format!("{text} ")] {
            let found = secrets(&text);
            assert_eq!(outcome(&found), [(rule, severity)], "{text}");
        }
    }
}

#[test]
fn what_is_reported_never_holds_the_secret_and_is_the_same_again() {
    for (_, text, _) in kinds() {
        let found = secrets(&format!("a\nb\n{text}\n"));
        let again = secrets(&format!("another place: {text}\n"));
        assert_eq!(found[0].evidence, again[0].evidence);
        assert!(found[0].location.line >= Some(3), "{text}");
        let written = format!("{found:?}");
        for part in text.split([' ', '\n', '=', '"', '\'', ':', '/', '@']) {
            assert!(part.len() < 16 || !written.contains(part), "{written}");
        }
        assert!(!written.contains("kW9!x7fQ2z"));
    }
}

#[test]
fn what_stands_in_examples_is_no_secret() {
    let texts = [
        "aws_access_key_id = AKIAIOSFODNN7EXAMPLE",
        "aws_secret_access_key = wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY",
        "api_key = 'YOUR_API_KEY_GOES_RIGHT_HERE_1'",
        "password: ${DATABASE_PASSWORD_FROM_ENV_9}",
        "https://user:password@host/path and http://user:pass@example.com/",
        "proxy = http://username:hunter2@proxy:8080",
        "secret_name = 'projects/p-1/secrets/prod-db-2/versions/11'",
        "client_secret: 123e4567-e89b-12d3-a456-426614174000",
        "hf_xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx",
        "sk-xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx",
        "-----BEGIN PRIVATE KEY-----\n...\n-----END PRIVATE KEY-----",
        "eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9.eyJzdWIiOiIxMjM0NTY3ODkwIiwibmFtZSI6IkpvaG4gRG9lIiwiaWF0IjoxNTE2MjM5MDIyfQ.SflKxwRJSMeKKF2QT4fwpMeJf36POk6yJV_adQssw5c",
        "\"integrity\": \"sha512-LKbVIr0ZNnGdvU2wTbFBfWIQQXKyjCMfEnxoGqkCdUcGwgrxBWfuKnNmfiUVDXhkNbf5Z3xVGbn3dJ3YtZFKCA==\"",
        "revision: 9fceb02d0ae598e95dc970b74767f19372d61af8",
        "token_type_ids = tokenizer_config.bos_token_id_for_generation_4",
        "AccountKey=Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw==",
    ];
    for text in texts {
        assert_eq!(outcome(&secrets(text)), [], "{text}");
    }
}

proptest! {
    #[test]
    fn a_secret_is_found_in_any_surroundings(before in ".{0,300}", after in ".{0,300}") {
        let token = checked("ghp_");
        let found = secrets(&format!("{before} {token} {after}"));
        prop_assert!(found.iter().any(|one| one.rule == "secret/service-token"));
    }

    #[test]
    fn random_words_hold_none(text in "[a-z ,.\n]{0,2000}") {
        prop_assert!(secrets(&text).is_empty());
    }
}
