//! Stable codes of violations, for policies and machines.

use super::Violation;

impl Violation {
    /// Returns the stable code, such as `layout-step-missing`.
    pub const fn code(&self) -> &'static str {
        match self {
            Self::CommandNotExpected { .. } => "layout-command-not-expected",
            Self::DuplicateStep { .. } => "layout-step-duplicate",
            Self::EvaluationMissing { .. } => "layout-evaluation-missing",
            Self::EvaluationNotMet { .. } => "layout-evaluation-not-met",
            Self::EvaluationNotPlanned => "layout-evaluation-not-planned",
            Self::Expired { .. } => "layout-expired",
            Self::ForeignStep { .. } => "layout-step-foreign",
            Self::InputMissing { .. } => "layout-input-missing",
            Self::InputNotDeclared { .. } => "layout-input-not-declared",
            Self::MissingStep { .. } => "layout-step-missing",
            Self::NotLogged { .. } => "layout-step-not-logged",
            Self::ProductMismatch { .. } => "layout-product-mismatch",
            Self::ProductNotDeclared { .. } => "layout-product-not-declared",
            Self::Reordered { .. } => "layout-step-reordered",
            Self::SignerNotAllowed { .. } => "layout-signer-not-allowed",
            Self::UnknownDataset { .. } => "layout-dataset-unknown",
        }
    }

    /// Returns the step that the violation is about, if it is about one.
    pub fn step(&self) -> Option<&str> {
        match self {
            Self::CommandNotExpected { step, .. }
            | Self::DuplicateStep { step }
            | Self::ForeignStep { step, .. }
            | Self::InputMissing { step, .. }
            | Self::InputNotDeclared { step, .. }
            | Self::MissingStep { step }
            | Self::NotLogged { step }
            | Self::ProductNotDeclared { step, .. }
            | Self::SignerNotAllowed { step, .. } => Some(step),
            Self::Reordered { later, .. } => Some(later),
            _ => None,
        }
    }
}
