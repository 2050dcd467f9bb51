//! The six steps. Each reads folders, writes one folder, and knows nothing of the others but the
//! files they leave.

pub(crate) mod evaluate;
pub(crate) mod features;
pub(crate) mod ingest;
pub(crate) mod package;
pub(crate) mod preprocess;
pub(crate) mod train;
