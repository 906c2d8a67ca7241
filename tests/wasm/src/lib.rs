//! The library's vector code and the modules that compute with it, with their tests. They need no other crate, so they can be
//! compiled for WebAssembly as they are.

#![allow(dead_code, unused_imports, reason = "the rest of the library uses them")]

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
fn webassembly_has_the_instruction_sets_portable_and_simd128() {
    let all = compute::simd::InstructionSet::all();
    assert_eq!(all.iter().map(ToString::to_string).collect::<Vec<_>>(), ["portable", "simd128"]);
}
