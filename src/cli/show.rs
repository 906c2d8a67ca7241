//! `em-routing show`: draws how the class layer routes one image.

use std::path::PathBuf;

use em_routing::capsnet::NetworkKind;
use em_routing::draw::Palette;
use em_routing::figures::chapter08;

use super::command;
use super::failure::{AtPath, Failure, Outcome};
use super::subject::Subject;

#[derive(clap::Args)]
pub struct Arguments {
    #[command(flatten)]
    subject: Subject,
    /// Number of the image, from 0
    #[arg(long, value_name = "N")]
    image: usize,
    /// SVG file to write [default: target/show/SPLIT-N.svg]
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
}

/// Draws the routing of one image and saves it as SVG.
pub fn show(arguments: &Arguments) -> Outcome<()> {
    let Arguments { subject, image, out } = arguments;
    let (net, images) = subject.read()?;
    if net.architecture().network != NetworkKind::Capsules {
        return Err(Failure::new("this network has no capsules, so it routes nothing")
            .mend("name a network of capsules with --weights"));
    }
    let split = subject.split();
    if *image >= images.len() {
        let last = images.len() - 1;
        return Err(Failure::new(format!("there is no image {image} among the {split} images"))
            .mend(format!("name one from 0 to {last} with --image"))
            .next(command::again(&[], ["--image", &last.to_string()])));
    }
    let pass = net.forward(&net.pixels(&images, &[*image])?, subject.threads())?;
    let run = net.layer_routing(&pass, "class", 0)?;
    let label = usize::from(images.labels[*image]);
    let figure = chapter08::digit_routing(images.image(*image), images.width, Some(label), &run)?;
    say!("{}", figure.alt());
    let path = out.clone().unwrap_or_else(|| PathBuf::from(format!("target/show/{split}-{image}.svg")));
    if let Some(folder) = path.parent() {
        std::fs::create_dir_all(folder).at(folder)?;
    }
    figure.save(&path, Palette::Light)?;
    say!("{}: open it in a browser.", path.display());
    Ok(())
}
