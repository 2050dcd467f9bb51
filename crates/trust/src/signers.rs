//! Signers whose key is not a file: key services in the cloud, Kubernetes Secrets, tokens.
//!
//! - [`reference`]: key references, the one text that says where a key lies.
//! - [`helper`]: programs that print credentials, waited for with limits.
//! - [`kms`]: AWS KMS, Google Cloud KMS, Azure Key Vault, `HashiCorp` Vault. The private key never
//!   leaves the service; what comes back is checked against the public key before anybody sees it.
//! - [`kubernetes`]: keys in Secrets, in cosign's layout.
//! - [`pkcs11`]: hardware security modules and other PKCS#11 tokens.
//!
//! Environment, clock and network settings come in through [`Surroundings`]. Tokens, passwords and
//! keys are erased when dropped and are part of no error.

pub mod helper;
pub mod kms;
pub mod kubernetes;
pub mod pkcs11;
pub mod reference;

mod remote;
mod surroundings;

pub(crate) use surroundings::read_text;

pub use remote::{RemoteSigner, ServiceError, Standing};
pub use surroundings::{Surroundings, SurroundingsError, VARIABLES};

/// One function over bytes for each parser here that reads what others wrote.
#[doc(hidden)]
pub mod fuzz {
    pub use super::kubernetes::fuzz_kubeconfig;
    pub use super::reference::fuzz_reference;
}

#[cfg(test)]
mod replay;
