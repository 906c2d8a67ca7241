//! The vector code of the library and what computes with it, with their own tests, and nothing else: it needs no crate, and so can
//! be compiled for WebAssembly as it stands.

#![allow(dead_code, unused_imports, reason = "what the rest of the library calls")]

#[path = "."]
mod compute {
    #[path = "../../../src/compute/simd/mod.rs"]
    pub(crate) mod simd;
}

#[path = "../../../src/gmm/density.rs"]
mod density;

#[path = "../../../src/kmeans/nearest.rs"]
mod nearest;

#[path = "."]
mod fused {
    const ELEMENTS: usize = 16;
    const SIDE: usize = 4;

    #[path = "../../../src/routing/fused/position/mod.rs"]
    mod position;
}

#[cfg(all(test, target_arch = "wasm32"))]
#[test]
fn simd128_is_among_the_paths() {
    let all = compute::simd::InstructionSet::all();
    assert_eq!(all.iter().map(ToString::to_string).collect::<Vec<_>>(), ["portable", "simd128"]);
}
