//! Lines: clipping and simplification.

use super::Point;

/// The approximate maximum number of points of one line.
const MOST_POINTS: usize = 2000;

/// The tolerance of simplification, in tenths of a pixel.
const TOLERANCE: f64 = 0.8;

/// Reduces a very long line to about [`MOST_POINTS`] points: the ends, minimum and maximum of each section of it.
pub(super) fn thinned(points: Vec<Point>) -> Vec<Point> {
    if points.len() <= MOST_POINTS {
        return points;
    }
    let mut kept = Vec::with_capacity(MOST_POINTS);
    for part in points.chunks(points.len().div_ceil(MOST_POINTS / 4)) {
        let by_height = |&a: &usize, &b: &usize| part[a].1.total_cmp(&part[b].1);
        let lowest = (0..part.len()).min_by(by_height).unwrap_or(0);
        let highest = (0..part.len()).max_by(by_height).unwrap_or(0);
        let mut places = vec![0, lowest.min(highest), lowest.max(highest), part.len() - 1];
        places.dedup();
        kept.extend(places.into_iter().map(|place| part[place]));
    }
    kept
}

/// Clips a line to a box (Liang and Barsky 1984, segment by segment). The line breaks at points that are not finite.
pub(super) fn clipped(points: &[Point], x: (f64, f64), y: (f64, f64)) -> Vec<Vec<Point>> {
    let mut parts: Vec<Vec<Point>> = Vec::new();
    let mut open = false;
    for pair in points.windows(2) {
        // Differences of numbers beyond 1e300 could overflow. Such points are so far outside that clamping does not show.
        let near = |(x, y): Point| (x.clamp(-1e300, 1e300), y.clamp(-1e300, 1e300));
        let (a, b) = (near(pair[0]), near(pair[1]));
        let finite = [pair[0].0, pair[0].1, pair[1].0, pair[1].1].iter().all(|value| value.is_finite());
        let (mut enter, mut leave) = (0.0f64, 1.0f64);
        let (dx, dy) = (b.0 - a.0, b.1 - a.1);
        for (delta, room) in [(-dx, a.0 - x.0), (dx, x.1 - a.0), (-dy, a.1 - y.0), (dy, y.1 - a.1)] {
            if delta == 0.0 {
                leave = if room < 0.0 { -1.0 } else { leave };
            } else if delta < 0.0 {
                enter = enter.max(room / delta);
            } else {
                leave = leave.min(room / delta);
            }
        }
        if !finite || enter > leave {
            open = false;
            continue;
        }
        let at = |t: f64| (a.0 + t * dx, a.1 + t * dy);
        match parts.last_mut().filter(|_| open && enter == 0.0) {
            Some(part) => part.push(at(leave)),
            None => parts.push(vec![at(enter), at(leave)]),
        }
        open = leave == 1.0;
    }
    parts
}

/// Drops the points of a line that do not change how it looks (Douglas and Peucker 1973).
pub(super) fn simplified(points: &[(i32, i32)]) -> Vec<(i32, i32)> {
    if points.len() < 3 {
        return points.to_vec();
    }
    let mut keep = vec![false; points.len()];
    keep[0] = true;
    keep[points.len() - 1] = true;
    let mut spans = vec![(0, points.len() - 1)];
    while let Some((from, to)) = spans.pop() {
        let farthest = (from + 1..to)
            .map(|i| (i, distance(points[i], points[from], points[to])))
            .max_by(|a, b| a.1.total_cmp(&b.1));
        if let Some((i, far)) = farthest
            && far > TOLERANCE
        {
            keep[i] = true;
            spans.push((from, i));
            spans.push((i, to));
        }
    }
    points.iter().zip(keep).filter(|(_, keep)| *keep).map(|(point, _)| *point).collect()
}

/// The distance of a point from the segment between two other points.
fn distance(point: (i32, i32), from: (i32, i32), to: (i32, i32)) -> f64 {
    let (dx, dy) = (f64::from(to.0 - from.0), f64::from(to.1 - from.1));
    let (px, py) = (f64::from(point.0 - from.0), f64::from(point.1 - from.1));
    let length = dx * dx + dy * dy;
    let t = if length > 0.0 { ((px * dx + py * dy) / length).clamp(0.0, 1.0) } else { 0.0 };
    (px - t * dx).hypot(py - t * dy)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_clipped_to_the_box() {
        let parts = clipped(&[(-1.0, 0.5), (2.0, 0.5), (2.0, 2.0)], (0.0, 1.0), (0.0, 1.0));
        assert_eq!(parts, [[(0.0, 0.5), (1.0, 0.5)]]);
        let parts = clipped(&[(0.1, 0.1), (0.2, f64::NAN), (0.3, 0.3), (0.4, 0.4)], (0.0, 1.0), (0.0, 1.0));
        assert_eq!(parts, [[(0.3, 0.3), (0.4, 0.4)]]);
    }

    #[test]
    fn simplification_drops_collinear_points_and_keeps_corners() {
        let line: Vec<(i32, i32)> = (0..100).map(|x| (x, if x < 50 { 0 } else { x - 50 })).collect();
        assert_eq!(simplified(&line), [(0, 0), (50, 0), (99, 49)]);
    }
}
