//! How large is a file, and how much of it is still to come? Asked before anything is fetched.

use super::manifest::{Artefact, HubFile};
use super::store::{Store, size_of};
use super::{PullError, Puller, Source, local, parts};

/// The size of a file, with all its parts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Extent {
    /// Bytes in all.
    pub bytes: u64,
    /// Bytes that are not here yet. For a file that is made from another, both count.
    pub to_fetch: u64,
}

impl Puller {
    /// Tells how large what `source` names is, and what is missing of it. Asks the hub about its files that are not here,
    /// and fetches nothing.
    ///
    /// # Errors
    /// Why it cannot be had, or why the hub does not tell.
    pub async fn extent(&self, source: &Source) -> Result<Extent, PullError> {
        match source {
            Source::Artefact(name) => match self.manifest.find(name) {
                Some(artefact) => self.artefact_extent(artefact),
                None => Err(PullError::Unknown { name: name.clone(), known: self.manifest.names() }),
            },
            Source::Hub(file) => self.hub_extent(file).await,
            Source::Path(path) => {
                let first = local(path)?;
                let name = first.file_name().and_then(|name| name.to_str()).unwrap_or_default();
                let bytes = parts(name).iter().filter_map(|part| size_of(&first.with_file_name(part))).sum();
                Ok(Extent { bytes, to_fetch: 0 })
            }
        }
    }

    fn artefact_extent(&self, artefact: &Artefact) -> Result<Extent, PullError> {
        let bytes = artefact.size;
        if self.store.has(artefact) || size_of(&self.store.path(artefact)) == Some(bytes) {
            return Ok(Extent { bytes, to_fetch: 0 });
        }
        if let Some(origin) = artefact.derived.as_ref().and_then(|derived| self.manifest.find(&derived.from)) {
            let origin = self.artefact_extent(origin)?;
            return Ok(Extent { bytes, to_fetch: bytes + origin.to_fetch });
        }
        if self.offline {
            return Err(self.not_offline(&artefact.name));
        }
        // The hub's name for a large file's content is its SHA-256.
        let part = artefact.hub.as_ref().map_or(0, |file| self.hub.kept(file, &artefact.sha256));
        Ok(Extent { bytes, to_fetch: bytes.saturating_sub(part) })
    }

    async fn hub_extent(&self, file: &HubFile) -> Result<Extent, PullError> {
        let mut extent = Extent::default();
        for part in parts(&file.file) {
            let path = self.hub_path(file, &part);
            let name = format!("hub:{}/{part}", file.repo);
            if let Some(bytes) = size_of(&path).filter(|_| Store::has_stamped(&path)) {
                extent.bytes += bytes;
                continue;
            }
            if self.offline {
                return Err(self.not_offline(&name));
            }
            let part = HubFile { file: part, ..file.clone() };
            let about = self.describe(&part).await.map_err(|source| PullError::Hub { name, source })?;
            extent.bytes += about.size;
            extent.to_fetch += about.size.saturating_sub(self.hub.kept(&part, &about.etag));
        }
        Ok(extent)
    }
}
