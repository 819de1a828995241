//! `cluster image`: an image of given files.

use std::fs;
use std::path::PathBuf;

use anyhow::{Context, Result};
use clap::Args;

use crate::Image;

/// What goes into the image.
#[derive(Debug, Args)]
pub(super) struct Options {
    /// Its full name, such as docker.io/stoq/agent:1.
    name: String,
    /// Where to write it.
    #[arg(long, short)]
    output: PathBuf,
    /// A program, as PATH=SOURCE; with the libraries it loads, unless it is static. Repeatable.
    #[arg(long, value_parser = pair)]
    program: Vec<(String, PathBuf)>,
    /// A file, as PATH=SOURCE. Repeatable.
    #[arg(long, value_parser = pair)]
    file: Vec<(String, PathBuf)>,
    /// What a container runs; one word of it each time.
    #[arg(long)]
    entrypoint: Vec<String>,
    /// The user a container runs as.
    #[arg(long, default_value = "")]
    user: String,
    /// What its programs are for, such as arm64; default: this machine.
    #[arg(long)]
    architecture: Option<String>,
}

pub(super) fn build(options: &Options) -> Result<()> {
    let mut image = Image::new(&options.name).user(&options.user);
    if let Some(architecture) = &options.architecture {
        image = image.architecture(architecture);
    }
    for (path, source) in &options.program {
        image = image.program(path, source)?;
    }
    for (path, source) in &options.file {
        let content = fs::read(source).with_context(|| source.display().to_string())?;
        image = image.file(path, content, 0o644);
    }
    let words: Vec<&str> = options.entrypoint.iter().map(String::as_str).collect();
    image.entrypoint(&words).write(&options.output)
}

fn pair(text: &str) -> Result<(String, PathBuf), String> {
    let (path, source) = text.split_once('=').ok_or("must be PATH=SOURCE")?;
    Ok((path.to_owned(), source.into()))
}
