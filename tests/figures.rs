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

#[test]
fn probe() {
    use em_routing::prelude::*;
    let e = Experiments::blog_hidden();
    for s in [0.02, 0.1, 0.3, 0.45, 0.53, 0.56, 0.95, 0.99] {
        let f = em_routing::gallery::one_coin_free(&e, &Coins::even(&[s, 0.52]).unwrap(), 0, Stop::default())
            .unwrap();
        println!(
            "{s}: {:?}",
            f.trace.iter().map(|s| (s.model.thetas[0] * 1000.).round() / 1000.).collect::<Vec<_>>()
        );
    }
}
