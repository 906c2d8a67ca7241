//! Casts rays at bodies made of convex parts.

use super::grey;

/// A vector or a point in space.
pub(super) type Vector = [f64; 3];

/// Rays for each pixel and axis: 2 x 2 rays smooth the edges.
const RAYS: usize = 2;
/// Half of the side of an image, in radii of the body.
const FRAME: f64 = 1.05;
/// The brightness of the background's surface.
const BACKGROUND: f64 = 0.6;

/// The form of a part, before it is stretched, turned and moved.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Form {
    /// The cube from -1 to 1 along each axis.
    Cuboid,
    /// The cylinder of radius 1 about the third axis, from -1 to 1.
    Cylinder,
    /// The ball of radius 1.
    Ellipsoid,
}

/// A convex part of a body.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Part {
    pub form: Form,
    pub centre: Vector,
    /// Half of the extent along each of the part's own axes.
    pub half: Vector,
    /// The part's own axes: unit vectors at right angles.
    pub axes: [Vector; 3],
}

/// A light and the camera's direction, in degrees.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Scene {
    pub azimuth: f64,
    pub elevation: f64,
    /// The direction towards the light: its azimuth counts from the camera's.
    pub light: [f64; 2],
    /// The brightness of a white surface in the shade.
    pub ambient: f64,
    /// What the light adds to a white surface that faces it.
    pub strength: f64,
}

pub(super) fn dot(a: Vector, b: Vector) -> f64 {
    a[0] * b[0] + a[1] * b[1] + a[2] * b[2]
}

fn along(origin: Vector, direction: Vector, length: f64) -> Vector {
    [0, 1, 2].map(|i| origin[i] + length * direction[i])
}

fn cross(a: Vector, b: Vector) -> Vector {
    [a[1] * b[2] - a[2] * b[1], a[2] * b[0] - a[0] * b[2], a[0] * b[1] - a[1] * b[0]]
}

fn unit(a: Vector) -> Vector {
    a.map(|x| x / dot(a, a).sqrt())
}

/// Returns the unit vector in this direction; elevation 90 is up.
fn direction(azimuth: f64, elevation: f64) -> Vector {
    let ((sin_a, cos_a), (sin_e, cos_e)) = (azimuth.to_radians().sin_cos(), elevation.to_radians().sin_cos());
    [cos_e * cos_a, cos_e * sin_a, sin_e]
}

impl Part {
    /// Creates a cuboid or an ellipsoid along the axes of the body.
    pub fn upright(form: Form, centre: Vector, half: Vector) -> Part {
        Part { form, centre, half, axes: [[1.0, 0.0, 0.0], [0.0, 1.0, 0.0], [0.0, 0.0, 1.0]] }
    }

    /// Creates a cylinder between the centres of its two ends, which must be apart.
    pub fn cylinder(from: Vector, to: Vector, radius: f64) -> Part {
        let span = [0, 1, 2].map(|i| (to[i] - from[i]) / 2.0);
        let axis = unit(span);
        // any vector that is not along the axis gives the other two
        let other = if axis[2].abs() < 0.9 { [0.0, 0.0, 1.0] } else { [1.0, 0.0, 0.0] };
        let first = unit(cross(other, axis));
        let half = [radius, radius, dot(span, axis)];
        Part {
            form: Form::Cylinder,
            centre: along(from, span, 1.0),
            half,
            axes: [first, cross(axis, first), axis],
        }
    }

    /// Returns the part's largest distance from a point, or a little more.
    pub fn reach(&self, from: Vector) -> f64 {
        let apart = along(self.centre, from, -1.0);
        let corner = match self.form {
            Form::Ellipsoid => self.half.into_iter().fold(0.0, f64::max),
            _ => dot(self.half, self.half).sqrt(),
        };
        dot(apart, apart).sqrt() + corner
    }

    /// Returns a vector in the part's own axes, in which its form is not stretched.
    fn own(&self, vector: Vector) -> Vector {
        [0, 1, 2].map(|i| dot(vector, self.axes[i]) / self.half[i])
    }

    /// Returns how far along a ray its first point in the part is, and the normal there. The ray begins outside.
    fn hit(&self, origin: Vector, ray: Vector) -> Option<(f64, Vector)> {
        let (o, d) = (self.own(along(origin, self.centre, -1.0)), self.own(ray));
        // the ray is in the part while it is within all surfaces: from the last entry to the first exit
        let mut entry = (f64::NEG_INFINITY, Surface::Round(3));
        let mut exit = f64::INFINITY;
        for &surface in self.form.surfaces() {
            let [first, last] = surface.within(o, d)?;
            exit = exit.min(last);
            if first > entry.0 {
                entry = (first, surface);
            }
        }
        let (length, surface) = entry;
        if length > exit {
            return None;
        }
        // the normal of a stretched surface is squeezed
        let normal = surface.normal(along(o, d, length), d);
        let turned = (0..3).fold([0.0; 3], |sum, i| along(sum, self.axes[i], normal[i] / self.half[i]));
        Some((length, unit(turned)))
    }
}

/// A surface of a form.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Surface {
    /// The two planes at -1 and 1 on this axis.
    Planes(usize),
    /// The points at a distance of 1 from the origin, with only this many axes counted.
    Round(usize),
}

impl Form {
    fn surfaces(self) -> &'static [Surface] {
        match self {
            Form::Cuboid => &[Surface::Planes(0), Surface::Planes(1), Surface::Planes(2)],
            Form::Cylinder => &[Surface::Round(2), Surface::Planes(2)],
            Form::Ellipsoid => &[Surface::Round(3)],
        }
    }
}

impl Surface {
    /// Returns where the ray o + t d enters and leaves the inside, if it does.
    fn within(self, o: Vector, d: Vector) -> Option<[f64; 2]> {
        let always = [f64::NEG_INFINITY, f64::INFINITY];
        match self {
            Surface::Planes(axis) if d[axis] == 0.0 => (o[axis].abs() <= 1.0).then_some(always),
            Surface::Planes(axis) => {
                let [one, other] = [-1.0, 1.0].map(|plane| (plane - o[axis]) / d[axis]);
                Some([one.min(other), one.max(other)])
            }
            Surface::Round(axes) => {
                let sum = |a: Vector, b: Vector| (0..axes).map(|i| a[i] * b[i]).sum::<f64>();
                let (a, b, c) = (sum(d, d), sum(o, d), sum(o, o) - 1.0);
                if a == 0.0 {
                    return (c <= 0.0).then_some(always);
                }
                let root = b * b - a * c;
                (root >= 0.0).then(|| [(-b - root.sqrt()) / a, (-b + root.sqrt()) / a])
            }
        }
    }

    /// Returns the direction of the normal at a point where a ray of direction d enters.
    fn normal(self, at: Vector, d: Vector) -> Vector {
        match self {
            Surface::Planes(axis) => [0, 1, 2].map(|i| if i == axis { -d[i].signum() } else { 0.0 }),
            Surface::Round(axes) => [0, 1, 2].map(|i| if i < axes { at[i] } else { 0.0 }),
        }
    }
}

/// Draws a body of radius 1 around the origin in a square image, seen from afar. The background is a plane at the bottom, in the
/// same light. `albedo` is the brightness of the body's surface.
pub(super) fn draw(body: &[Part], albedo: f64, scene: &Scene, side: usize, pixels: &mut [u8]) {
    let towards = direction(scene.azimuth, scene.elevation);
    let [right, up] =
        [direction(scene.azimuth + 90.0, 0.0), direction(scene.azimuth, scene.elevation + 90.0)];
    let light = direction(scene.azimuth + scene.light[0], scene.light[1]);
    let brightness = |normal: Vector| scene.ambient + scene.strength * dot(normal, light).max(0.0);
    let background = BACKGROUND * brightness([0.0, 0.0, 1.0]);
    let ray = towards.map(|x| -x);
    // the circle of the image in which a part lies, so that most rays need not look for it
    let circle =
        |part: &Part| (dot(part.centre, right), dot(part.centre, up), part.reach(part.centre).powi(2));
    let parts: Vec<_> = body.iter().map(|part| (part, circle(part))).collect();
    let rays = RAYS * side;
    let place = |at: usize| FRAME * ((2 * at + 1) as f64 / rays as f64 - 1.0);
    for (at, pixel) in pixels.iter_mut().enumerate() {
        let mut sum = 0.0;
        for ray_of_pixel in 0..RAYS * RAYS {
            let column = at % side * RAYS + ray_of_pixel % RAYS;
            let row = at / side * RAYS + ray_of_pixel / RAYS;
            let (x, y) = (place(column), -place(row));
            let origin = along(along(along([0.0; 3], towards, 4.0), right, x), up, y);
            let near =
                parts.iter().filter(|(_, (cx, cy, square))| (x - cx).powi(2) + (y - cy).powi(2) <= *square);
            let hits = near.filter_map(|(part, _)| part.hit(origin, ray));
            let nearest = hits.min_by(|one, other| one.0.total_cmp(&other.0));
            sum += nearest.map_or(background, |(_, normal)| albedo * brightness(normal));
        }
        *pixel = grey(sum / (RAYS * RAYS) as f64);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rays_hit_each_form_where_it_is_with_the_normal_of_its_surface() {
        let close = |found: Option<(f64, Vector)>, length: f64, normal: Vector| {
            let (at, found) = found.unwrap();
            let off = (at - length).abs() + (0..3).map(|i| (found[i] - normal[i]).abs()).sum::<f64>();
            assert!(off <= 1e-12, "{at}, {found:?} for {length}, {normal:?}");
        };
        let down = [0.0, 0.0, -1.0];
        let cuboid = Part::upright(Form::Cuboid, [1.0, 0.0, 0.5], [2.0, 1.0, 0.25]);
        close(cuboid.hit([2.5, 0.9, 4.0], down), 3.25, [0.0, 0.0, 1.0]);
        close(cuboid.hit([5.0, 0.0, 0.5], [-1.0, 0.0, 0.0]), 2.0, [1.0, 0.0, 0.0]);
        assert_eq!(cuboid.hit([3.1, 0.0, 4.0], down), None);
        let ellipsoid = Part::upright(Form::Ellipsoid, [0.0; 3], [2.0, 1.0, 0.5]);
        close(ellipsoid.hit([0.0, 0.0, 4.0], down), 3.5, [0.0, 0.0, 1.0]);
        // on the surface x^2 / 4 + z^2 / 0.25 = 1, the normal is along (x / 4, 0, z / 0.25)
        close(ellipsoid.hit([1.2, 0.0, 4.0], down), 3.6, unit([0.3, 0.0, 1.6]));
        assert_eq!(ellipsoid.hit([0.0, 1.1, 4.0], down), None);
        let lying = Part::cylinder([-1.0, 0.0, 0.0], [3.0, 0.0, 0.0], 0.5);
        close(lying.hit([2.9, 0.3, 4.0], down), 3.6, [0.0, 0.6, 0.8]);
        close(lying.hit([9.0, 0.1, 0.1], [-1.0, 0.0, 0.0]), 6.0, [1.0, 0.0, 0.0]);
        assert_eq!(lying.hit([3.1, 0.0, 4.0], down), None);
        assert_eq!(lying.hit([9.0, 0.4, 0.4], [-1.0, 0.0, 0.0]), None);
    }
}
