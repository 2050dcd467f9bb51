//! What is named on the command line, as sources of the scanner.

use std::io;
use std::path::Path;

use custos_scan::source::ReadAt;
use custos_scan::sources::{Item, Source};
use custos_scan::{Tree, TreeOptions};

use super::bucket::{self, Bucket};
use super::registry::Registry;
use super::shelf::{Disk, Unnamed};
use crate::args::ScanArgs;
use crate::context::Context;
use crate::files::shown;
use crate::report::Failure;

/// How standard input is called in reports.
const STDIN: &str = "stdin";

/// Something to scan.
pub enum Input<'a> {
    /// Standard input, kept on the shelf.
    Stream(Stream),
    /// A folder or a file, under the name it was given.
    Tree {
        /// As it was given.
        named: String,
        /// What is there.
        tree: Tree,
    },
    /// Something in a registry.
    Registry(Box<Registry<'a>>),
    /// Objects in a bucket.
    Bucket(Box<Bucket<'a>>),
}

impl Input<'_> {
    /// Returns it as the scanner sees it.
    pub fn source(&self) -> &dyn Source {
        match self {
            Self::Stream(stream) => stream,
            Self::Tree { tree, .. } => tree,
            Self::Registry(registry) => registry.as_ref(),
            Self::Bucket(bucket) => bucket.as_ref(),
        }
    }
}

/// Finds what the command line names.
pub fn find<'a>(
    args: &ScanArgs,
    shelf: &'a Disk,
    context: &'a Context,
) -> Result<Vec<Input<'a>>, Failure> {
    let mut streams = args.paths.iter().filter(|path| *path == "-");
    if streams.next().is_some() && streams.next().is_some() {
        return Err(Failure::usage("E0002", "standard input can be read once")
            .because("`-` stands there twice"));
    }
    let one = |path: &String| {
        if path == "-" {
            return Stream::read(shelf).map(Input::Stream);
        }
        if let Some(reference) = crate::oci::named(path, context)? {
            return Registry::open(&reference, shelf, context)
                .map(|registry| Input::Registry(Box::new(registry)));
        }
        if bucket::is_one(path) {
            return Bucket::open(path, shelf).map(|bucket| Input::Bucket(Box::new(bucket)));
        }
        elsewhere(path, context)?;
        tree(path, args, context)
    };
    args.paths.iter().map(one).collect()
}

// Places that are written like those that are read here, and are none of them.
fn elsewhere(path: &str, context: &Context) -> Result<(), Failure> {
    let Some((scheme, rest)) = path.split_once("://") else {
        return Ok(());
    };
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'-' | b'.');
    if !scheme.bytes().all(plain) || context.resolve(Path::new(path)).exists() {
        return Ok(());
    }
    let failure = Failure::usage("E1002", format!("`{scheme}://` is not read here"))
        .at(shown(Path::new(path)));
    Err(match scheme {
        "http" | "https" => {
            failure.help(format!("hand it over: curl -fsSL {path} | custos scan -"))
        }
        "file" => failure.help(format!("name the path: custos scan {rest}")),
        "gs" => failure.help(format!(
            "Google's buckets speak the language of S3, with HMAC keys: set \
             AWS_ENDPOINT_URL_S3=https://storage.googleapis.com, and name s3://{rest}"
        )),
        "hf" => failure
            .help("download it first: hf download REPOSITORY; then scan the folder that it prints"),
        _ => failure,
    }
    .help("read are files, folders, `-`, oci://, s3:// and az://"))
}

fn tree<'a>(path: &str, args: &ScanArgs, context: &Context) -> Result<Input<'a>, Failure> {
    let mut options = TreeOptions::default();
    options.exclude.clone_from(&args.exclude);
    if let Ok(home) = context.home() {
        options.leave_out.push(home.root().to_owned());
    }
    // What this command reads and writes itself is no part of what it looks at.
    let (known, reports) = (&args.known, &args.reports);
    let own = [
        &known.suppressions,
        &known.baseline,
        &reports.json,
        &reports.sarif,
        &reports.cyclonedx,
        &reports.write_baseline,
        &args.bundle,
    ];
    let own = own.into_iter().flatten().map(|file| context.resolve(file));
    options.leave_out.extend(own);
    let path = Path::new(path);
    let tree = Tree::open(path, &options).map_err(|error| match error.kind() {
        io::ErrorKind::Unsupported => {
            Failure::usage("E1002", "this is neither a file nor a folder")
                .at(shown(path))
                .because("a pipe or a device can be read once, and has no end that is known")
                .help("pass it on standard input: custos scan - < FILE")
        }
        io::ErrorKind::NotFound if path.symlink_metadata().is_ok() => {
            Failure::usage("E0003", "this is a link that leads nowhere").at(shown(path))
        }
        _ => Failure::io(shown(path), &error),
    })?;
    Ok(Input::Tree {
        named: shown(path),
        tree,
    })
}

/// Standard input.
pub struct Stream {
    items: [Item; 1],
    place: Unnamed,
}

impl Stream {
    fn read(shelf: &Disk) -> Result<Self, Failure> {
        let failed = |error: io::Error| Failure::io("standard input", &error);
        let place = shelf.keep(&mut io::stdin().lock()).map_err(failed)?;
        // What came to nothing before the pipe is no yes.
        let nothing = "nothing came on standard input";
        let item = Item {
            path: STDIN.to_owned(),
            size: place.len(),
            closed: place.is_empty().then(|| nothing.to_owned()),
        };
        Ok(Self {
            items: [item],
            place,
        })
    }
}

impl Source for Stream {
    fn items(&self) -> &[Item] {
        &self.items
    }

    fn open(&self, _: usize) -> io::Result<Box<dyn ReadAt + '_>> {
        Ok(Box::new(Kept(&self.place)))
    }
}

struct Kept<'a>(&'a Unnamed);

impl ReadAt for Kept<'_> {
    fn len(&self) -> u64 {
        self.0.len()
    }

    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> io::Result<usize> {
        self.0.read_at(offset, buffer)
    }
}
