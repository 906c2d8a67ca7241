//! The golden cases with 16 pose elements: convolutional and class layers, and votes (as transforms of identity poses).

use em_routing::routing::fused::{InstructionSet, LayerShape};
use em_routing::routing::{Reach, RoutingOptions};
use safetensors::SafeTensors;
use serde_json::Value;

use super::{Case, Named, error, largest, largest_gradient, one_position};

struct Golden {
    manifest: Value,
    bytes: Vec<u8>,
}

fn goldens(kind: &str) -> Vec<Golden> {
    let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden");
    let manifest = std::fs::read(folder.join("caps_manifest.json")).unwrap();
    let manifest: Value = serde_json::from_slice(&manifest).unwrap();
    let cases = manifest["cases"].as_array().unwrap().iter().filter(|case| case["kind"] == kind);
    let read = |case: &Value| std::fs::read(folder.join(case["file"].as_str().unwrap())).unwrap();
    cases.map(|case| Golden { manifest: case.clone(), bytes: read(case) }).collect()
}

impl Golden {
    fn name(&self) -> &str {
        self.manifest["name"].as_str().unwrap()
    }

    fn number(&self, key: &str) -> usize {
        self.manifest[key].as_u64().unwrap() as usize
    }

    fn shape(&self, name: &str) -> Vec<usize> {
        SafeTensors::deserialize(&self.bytes).unwrap().tensor(name).unwrap().shape().to_vec()
    }

    fn wide(&self, name: &str) -> Vec<f64> {
        let file = SafeTensors::deserialize(&self.bytes).unwrap();
        let tensor = file.tensor(name).unwrap_or_else(|error| panic!("{} {name}: {error}", self.name()));
        let numbers = tensor.data().as_chunks::<8>().0.iter();
        numbers.map(|&bytes| f64::from_le_bytes(bytes)).collect()
    }

    fn narrow(&self, name: &str) -> Vec<f32> {
        self.wide(name).into_iter().map(|number| number as f32).collect()
    }

    fn options(&self) -> RoutingOptions {
        RoutingOptions { iterations: self.number("iters"), ..RoutingOptions::blog() }
    }

    /// Returns the golden tensor of this output or gradient; the `grad_safe` variant if there is one.
    fn expected(&self, name: &str) -> Vec<f64> {
        match name.strip_prefix("grad.") {
            None => self.wide(&format!("out.{name}")),
            Some(of) if self.manifest["grad_safe_state"][of].is_null() => self.wide(name),
            Some(of) => self.wide(&format!("grad_safe.{of}")),
        }
    }

    fn check(&self, instructions: InstructionSet, found: &Named) {
        let expected: Named = found.iter().map(|(name, _)| (*name, self.expected(name))).collect();
        let scale = 1e-6 * largest_gradient(&expected);
        for ((name, found), (_, expected)) in found.iter().zip(&expected) {
            let (scale, fair) = match name.starts_with("grad.") {
                true => (largest(expected).max(scale), 2e-4),
                false => (largest(expected), 2e-5),
            };
            // skip what the blog's formula cannot compute, at least not in f32
            let Some(in_f32) = self.manifest["f32_rel_err"][*name].as_f64() else { continue };
            let finite = found
                .iter()
                .zip(expected)
                .all(|(found, expected)| found.is_finite() || !expected.is_finite());
            assert!(finite, "{} {name}, {instructions}: not finite", self.name());
            // ill-conditioned cases only need to be finite
            if !self.manifest["cond"][*name].as_f64().is_some_and(|condition| condition <= 1e7) {
                continue;
            }
            let tolerance = (10.0 * in_f32).max(fair);
            let error = error(found, expected, scale);
            assert!(error <= tolerance, "{} {name}, {instructions}: {error:e} > {tolerance:e}", self.name());
        }
    }
}

#[test]
fn layers_agree() {
    let layers: Vec<Golden> = goldens("conv_caps").into_iter().chain(goldens("class_caps")).collect();
    assert_eq!(layers.len(), 10);
    for golden in layers {
        let below = golden.shape("in.a");
        let reach = match golden.manifest["kind"].as_str() {
            Some("conv_caps") => {
                Reach::Neighbourhood { size: golden.number("kernel"), stride: golden.number("stride") }
            }
            _ => Reach::Everywhere,
        };
        let beta_v = golden.narrow("in.beta_v");
        let case = Case {
            shape: LayerShape {
                images: below[0],
                height: below[1],
                width: below[2],
                capsules: below[3],
                parents: beta_v.len(),
                reach,
            },
            options: golden.options(),
            poses: golden.narrow("in.poses"),
            activations: golden.narrow("in.a"),
            transforms: golden.narrow("in.W"),
            beta_v,
            beta_a: golden.narrow("in.beta_a"),
            d_poses: golden.narrow("in.g_poses"),
            d_activations: golden.narrow("in.g_act"),
        };
        for instructions in InstructionSet::all() {
            golden.check(instructions, &case.found(instructions));
        }
    }
}

/// Each sample becomes a layer: its votes are the transforms, and all poses are the identity.
#[test]
fn votes_agree() {
    let identity: Vec<f32> = (0..16).map(|h| if h % 5 == 0 { 1.0 } else { 0.0 }).collect();
    let goldens: Vec<Golden> =
        goldens("em_routing").into_iter().filter(|golden| golden.number("dim") == 16).collect();
    assert_eq!(goldens.len(), 28);
    for golden in goldens {
        let (children, parents) = (golden.number("n_in"), golden.number("n_out"));
        let (votes, activations) = (golden.narrow("in.votes"), golden.narrow("in.a"));
        let (d_poses, d_activations) = (golden.narrow("in.g_poses"), golden.narrow("in.g_act"));
        let case = |sample: usize| Case {
            shape: one_position(children, parents),
            options: golden.options(),
            poses: identity.repeat(children),
            activations: activations[sample * children..][..children].to_vec(),
            transforms: votes[sample * children * parents * 16..][..children * parents * 16].to_vec(),
            beta_v: golden.narrow("in.beta_v"),
            beta_a: golden.narrow("in.beta_a"),
            d_poses: d_poses[sample * parents * 16..][..parents * 16].to_vec(),
            d_activations: d_activations[sample * parents..][..parents].to_vec(),
        };
        for instructions in InstructionSet::all() {
            let mut all: Named = Vec::new();
            for sample in 0..activations.len() / children {
                let mut found = case(sample).found(instructions);
                found.retain(|(name, _)| *name != "grad.poses");
                for (name, numbers) in found {
                    let name = if name == "grad.W" { "grad.votes" } else { name };
                    match all.iter_mut().find(|(of, _)| *of == name) {
                        None => all.push((name, numbers)),
                        // the betas are shared, so their gradients add up over the samples
                        Some((_, sum)) if name.starts_with("grad.beta") => {
                            sum.iter_mut().zip(numbers).for_each(|(sum, number)| *sum += number);
                        }
                        Some((_, all)) => all.extend(numbers),
                    }
                }
            }
            golden.check(instructions, &all);

            // the default options give finite numbers even where the blog's formula does not
            for sample in 0..activations.len() / children {
                let mut case = case(sample);
                case.options = RoutingOptions { iterations: golden.number("iters"), ..Default::default() };
                for (name, numbers) in case.found(instructions) {
                    let finite = numbers.iter().all(|number| number.is_finite());
                    assert!(finite, "{} {name}, {instructions}", golden.name());
                }
            }
        }
    }
}
