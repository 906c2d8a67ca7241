//! Every figure of the gallery: drawn, whole, small, and the same each time.
use em_routing::gallery::FIGURES;

#[test]
fn write_all() {
    let Ok(folder) = std::env::var("FIGURES_OUT") else { return };
    for entry in FIGURES {
        let figure = (entry.draw)().unwrap_or_else(|error| panic!("{}: {error}", entry.name));
        figure.save(std::path::Path::new(&folder).join(format!("{}.svg", figure.name()))).unwrap();
    }
}
