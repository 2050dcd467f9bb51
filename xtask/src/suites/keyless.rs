//! Bundles made with a lab of real servers by every client there is, Custos among them, and
//! verified by all of them; and each bundle with one thing wrong, which nobody may accept.

use anyhow::Result;

use super::Run;
use super::clients::{Clients, Services};
use crate::lab::{IDENTITY, Lab, Programs};
use crate::tally::Suite;

/// Runs the suite.
pub fn run(run: &Run<'_>, suite: &mut Suite) -> Result<()> {
    let programs = match Programs::ensure(run.place) {
        Ok(programs) => programs,
        Err(error) => {
            suite.skip("lab", &format!("{error:#}"));
            return Ok(());
        }
    };
    let lab = Lab::start(run.place, &programs)?;
    let services = Services {
        config: lab.file("signing_config.json"),
        root: lab.file("trusted_root.json"),
        trust_config: lab.file("trust_config.json"),
        issuer: lab.issuer(),
        // It ends the servers when it goes.
        token: Box::new(move || lab.token(IDENTITY)),
    };
    let clients = Clients::new(run.place, services, programs.cosign())?;
    clients.prepare()?;
    // A first entry: the Python client cannot read bundles of cosign with the index 0.
    clients.sign_keyless("first")?;
    clients.agree(suite)
}
