//! The two files of AWS' tools: `~/.aws/credentials` and `~/.aws/config`
//! ([format](https://docs.aws.amazon.com/cli/latest/userguide/cli-configure-files.html)).

use std::path::PathBuf;

use zeroize::Zeroizing;

use super::super::super::surroundings::{Surroundings, SurroundingsError, read_text};
use super::credentials::Credentials;

/// Returns the access key of the profile that `AWS_PROFILE` names.
pub(super) fn credentials(
    surroundings: &Surroundings,
) -> Result<Option<Credentials>, SurroundingsError> {
    let (profile, chosen) = profile(surroundings);
    let named = [profile.clone(), format!("profile {profile}")];
    let mut is_there = false;
    for (variable, file) in [
        ("AWS_SHARED_CREDENTIALS_FILE", ".aws/credentials"),
        ("AWS_CONFIG_FILE", ".aws/config"),
    ] {
        let Some(text) = read(surroundings, variable, file)? else {
            continue;
        };
        for section in &named {
            is_there |= has(&text, section);
            let key_id = setting(&text, section, "aws_access_key_id");
            let secret = setting(&text, section, "aws_secret_access_key");
            if let (Some(key_id), Some(secret)) = (key_id, secret) {
                let token = setting(&text, section, "aws_session_token");
                return Ok(Some(Credentials::new(key_id, secret, token)));
            }
            for unsupported in [
                "login_session",
                "sso_session",
                "sso_start_url",
                "credential_process",
                "role_arn",
            ] {
                if setting(&text, section, unsupported).is_some() {
                    return Err(SurroundingsError::Unsupported {
                        what: format!("`{unsupported}` in the AWS profile {profile}"),
                        help: "put an access key into the environment, for instance with \
                               `aws configure export-credentials --format env`",
                    });
                }
            }
        }
    }
    // Whoever chose a profile does not want the keys of somebody else: those of the machine.
    if chosen && !is_there {
        return Err(SurroundingsError::NoProfile { profile });
    }
    Ok(None)
}

/// Returns the region of the profile that `AWS_PROFILE` names.
pub(super) fn region(surroundings: &Surroundings) -> Result<Option<String>, SurroundingsError> {
    let Some(text) = read(surroundings, "AWS_CONFIG_FILE", ".aws/config")? else {
        return Ok(None);
    };
    let (profile, _) = profile(surroundings);
    let found = setting(&text, &format!("profile {profile}"), "region")
        .or_else(|| setting(&text, &profile, "region"));
    Ok(found.map(str::to_owned))
}

// The profile, and whether somebody chose it.
fn profile(surroundings: &Surroundings) -> (String, bool) {
    match surroundings
        .var("AWS_PROFILE")
        .or_else(|| surroundings.var("AWS_DEFAULT_PROFILE"))
    {
        Some(profile) => (profile, true),
        None => ("default".to_owned(), false),
    }
}

// A file that is not there is no error unless a variable names it.
fn read(
    surroundings: &Surroundings,
    variable: &str,
    below: &str,
) -> Result<Option<Zeroizing<String>>, SurroundingsError> {
    let named: Option<PathBuf> = surroundings.path_var(variable);
    let is_named = named.is_some();
    let Some(path) = named.or_else(|| surroundings.at_home(below)) else {
        return Ok(None);
    };
    match read_text(&path) {
        Ok(text) => Ok(Some(text)),
        Err(SurroundingsError::Io {
            kind: std::io::ErrorKind::NotFound,
            ..
        }) if !is_named => Ok(None),
        Err(error) => Err(error),
    }
}

// The name of the section that a line begins.
fn begins(line: &str) -> Option<&str> {
    line.strip_prefix('[')?.split(']').next()
}

fn is_called(found: &str, section: &str) -> bool {
    found.split_whitespace().eq(section.split_whitespace())
}

fn has(text: &str, section: &str) -> bool {
    text.lines()
        .filter_map(begins)
        .any(|found| is_called(found, section))
}

fn setting<'a>(text: &'a str, section: &str, name: &str) -> Option<&'a str> {
    let mut inside = false;
    for line in text.lines() {
        // Indented lines belong to a nested setting, such as `s3 =`.
        if line.starts_with([' ', '\t']) {
            continue;
        }
        let line = line.trim_end();
        if line.starts_with(['#', ';']) {
            continue;
        }
        if let Some(found) = begins(line) {
            inside = is_called(found, section);
            continue;
        }
        if let Some((found, value)) = line.split_once('=')
            && inside
            && found.trim().eq_ignore_ascii_case(name)
        {
            let value = value.split(" #").next().unwrap_or_default().trim();
            return (!value.is_empty()).then_some(value);
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::super::super::super::replay::around;
    use super::*;

    #[test]
    fn settings_of_a_section() {
        let text = "# comment\n[default]\nregion = eu-west-1\ns3 =\n  region = no\n\
                    [profile  ci]\nRegion=us-east-2 # why\noutput =\n";
        assert_eq!(setting(text, "default", "region"), Some("eu-west-1"));
        assert_eq!(setting(text, "profile ci", "region"), Some("us-east-2"));
        assert_eq!(setting(text, "profile ci", "output"), None);
        assert_eq!(setting(text, "ci", "region"), None);
        assert_eq!(setting(text, "default", "s3"), None);
        assert!(has(text, "profile ci") && !has(text, "ci"));
    }

    #[test]
    fn a_profile_that_nobody_wrote_is_not_passed_over() {
        let home = tempfile::tempdir().unwrap();
        std::fs::create_dir(home.path().join(".aws")).unwrap();
        let file = home.path().join(".aws/config");
        std::fs::write(file, "[profile ci]\nregion = eu-west-1\n").unwrap();
        let home = home.path().to_str().unwrap();
        let find =
            |profile: &str| credentials(&around(&[("HOME", home), ("AWS_PROFILE", profile)]));
        let profile = "cl".to_owned();
        assert_eq!(
            find("cl").err(),
            Some(SurroundingsError::NoProfile { profile })
        );
        // One without a key leaves it to the machine.
        assert!(find("ci").unwrap().is_none());
        assert!(credentials(&around(&[("HOME", home)])).unwrap().is_none());
    }
}
