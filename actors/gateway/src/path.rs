//! What is named in a path? One thing, by its id.

use axum::extract::{FromRequestParts, Path};
use axum::http::request::Parts;

use crate::doors::Shared;
use crate::error::ApiError;

/// The `{id}` of a path.
pub(crate) struct Id(pub(crate) String);

impl FromRequestParts<Shared> for Id {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, doors: &Shared) -> Result<Self, ApiError> {
        // axum would refuse it in plain text.
        let path = Path::<String>::from_request_parts(parts, doors).await;
        path.map(|Path(id)| Self(id)).map_err(|error| ApiError::invalid(error.body_text()))
    }
}
