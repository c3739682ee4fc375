//! What images of registries meant when they were last looked up: so that what was pulled starts again without its registry.

use crate::oci::{Kept, canonical};
use crate::{ArtifactError, Store};
use std::fs;
use std::io::{self, Read, Write};
use std::path::PathBuf;
use umbel_core::digest::Digest;
use umbel_core::reference::Image;

/// The largest file of this kind, bytes.
const KEPT_BYTES_MAX: u64 = 64 << 10;

impl Store {
    pub(crate) fn images(&self) -> PathBuf {
        self.folder().join("images")
    }

    fn kept_at(&self, image: &str) -> PathBuf {
        self.images().join(Digest::of(image.as_bytes()).hex())
    }

    /// Keeps what an image means. It is kept as long as its artifact is stored.
    pub fn remember(&self, kept: &Kept) -> Result<(), ArtifactError> {
        let write = || -> io::Result<()> {
            self.make_folders()?;
            let (partial, mut file) = self.new_partial()?;
            file.write_all(&serde_json::to_vec(kept)?)?;
            file.sync_all()?;
            partial.rename(&self.kept_at(&kept.image))
        };
        write().map_err(|source| self.failed(source))
    }

    /// What the image meant when it was last looked up. What cannot be read is not known.
    pub fn remembered(&self, image: &Image) -> Option<Kept> {
        let image = canonical(image);
        let mut bytes = Vec::new();
        let file = fs::File::open(self.kept_at(&image)).ok()?;
        file.take(KEPT_BYTES_MAX).read_to_end(&mut bytes).ok()?;
        serde_json::from_slice::<Kept>(&bytes).ok().filter(|kept| kept.image == image)
    }

    /// Forgets images whose artifacts are gone.
    pub(crate) fn forget_images(&self) -> Result<(), ArtifactError> {
        let forget = || -> io::Result<()> {
            for entry in fs::read_dir(self.images())? {
                let path = entry?.path();
                let kept = fs::read(&path).ok().and_then(|bytes| serde_json::from_slice::<Kept>(&bytes).ok());
                if kept.is_none_or(|kept| !self.blob(&kept.artifact).exists()) {
                    fs::remove_file(&path)?;
                }
            }
            Ok(())
        };
        forget().map_err(|source| self.failed(source))
    }
}
