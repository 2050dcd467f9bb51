//! What lies in a registry: manifest, configuration and layers, each scanned as a file.
//!
//! A blob comes onto the shelf when its turn is there, and leaves it when it was looked at. Size and
//! digest are checked on the way; what is not what the manifest names is not looked at.

use std::io;
use std::ops::ControlFlow;

use custos_connect::oci::{Descriptor, Manifest, Reference, Repository};
use custos_scan::Place as _;
use custos_scan::source::ReadAt;
use custos_scan::sources::{Item, Source};

use super::shelf::Disk;
use crate::context::Context;
use crate::oci::Image;
use crate::report::Failure;

/// Most manifests below an index.
const MAX_MANIFESTS: usize = 256;
/// Names that a layer may have, from specifications of models and of ORAS.
const TITLES: [&str; 3] = [
    "org.cncf.model.filepath",
    "org.opencontainers.image.title",
    "org.cncf.modctl.filepath",
];

/// An image, a model or an index in a registry.
pub struct Registry<'a> {
    repository: Repository,
    shelf: &'a Disk,
    items: Vec<Item>,
    contents: Vec<Content>,
}

enum Content {
    // A manifest, which is here already.
    Held(Vec<u8>),
    Blob(Box<Descriptor>),
}

impl<'a> Registry<'a> {
    /// Fetches the manifest that `reference` names, and those below it.
    pub fn open(
        reference: &Reference,
        shelf: &'a Disk,
        context: &Context,
    ) -> Result<Self, Failure> {
        let image = Image::fetch(reference, &context.settings()?, context)?;
        let name = format!("oci://{}", image.reference());
        let (repository, fetched) = image.into_parts();
        let mut registry = Self {
            repository,
            shelf,
            items: Vec::new(),
            contents: Vec::new(),
        };
        let mut below = Vec::new();
        registry.manifest(&name, (fetched.bytes, &fetched.manifest), &mut below);
        for (number, one) in below.iter().enumerate() {
            let digest = one.digest;
            let path = format!("{name}!{digest}");
            if number >= MAX_MANIFESTS {
                registry.closed(
                    path,
                    one,
                    format!("only {MAX_MANIFESTS} manifests are looked at"),
                );
                continue;
            }
            match registry.repository.manifest(&digest) {
                // An index in an index is told, and not gone into.
                Ok(inner) => {
                    let mut deeper = Vec::new();
                    registry.manifest(&path, (inner.bytes, &inner.manifest), &mut deeper);
                    for one in deeper {
                        let path = format!("{path}!{}", one.digest);
                        registry.closed(path, &one, "an index in an index".to_owned());
                    }
                }
                Err(error) => registry.closed(path, one, error.to_string()),
            }
        }
        Ok(registry)
    }

    fn manifest(
        &mut self,
        name: &str,
        (bytes, manifest): (Vec<u8>, &Manifest),
        below: &mut Vec<Descriptor>,
    ) {
        self.items.push(Item {
            path: format!("{name}!manifest.json"),
            size: ReadAt::len(&bytes),
            closed: None,
        });
        self.contents.push(Content::Held(bytes));
        match manifest {
            Manifest::Image { config, layers, .. } => {
                self.blob(format!("{name}!config.json"), config);
                for layer in layers {
                    let title = TITLES.iter().find_map(|key| layer.annotation(key));
                    let digest = layer.digest.to_string();
                    self.blob(format!("{name}!{}", title.unwrap_or(&digest)), layer);
                }
            }
            Manifest::Index { manifests, .. } => below.extend(manifests.iter().cloned()),
            _ => {}
        }
    }

    fn blob(&mut self, path: String, descriptor: &Descriptor) {
        self.items.push(Item {
            path,
            size: descriptor.size,
            closed: None,
        });
        self.contents
            .push(Content::Blob(Box::new(descriptor.clone())));
    }

    fn closed(&mut self, path: String, descriptor: &Descriptor, why: String) {
        self.blob(path, descriptor);
        if let Some(item) = self.items.last_mut() {
            item.closed = Some(why);
        }
    }
}

impl Source for Registry<'_> {
    fn items(&self) -> &[Item] {
        &self.items
    }

    fn open(&self, index: usize) -> io::Result<Box<dyn ReadAt + '_>> {
        let descriptor = match self.contents.get(index) {
            None => return Err(io::Error::from(io::ErrorKind::NotFound)),
            Some(Content::Held(bytes)) => return Ok(Box::new(bytes.clone())),
            Some(Content::Blob(descriptor)) => descriptor,
        };
        let mut place = self.shelf.empty()?;
        let mut full = Ok(());
        let fetched = self.repository.blob_in_pieces(descriptor, &mut |piece| {
            full = place.append(piece);
            if full.is_ok() {
                ControlFlow::Continue(())
            } else {
                ControlFlow::Break(())
            }
        });
        full?;
        fetched.map_err(io::Error::other)?;
        Ok(Box::new(place))
    }
}
