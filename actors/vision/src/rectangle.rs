//! Which is the smallest rectangle, at any angle, around some points?

/// A point, x to the right and y down.
pub(crate) type Point = [f64; 2];

/// A rectangle at any angle: how far it reaches along a direction and across it, from the origin.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Rectangle {
    direction: Point,
    along: (f64, f64),
    across: (f64, f64),
}

impl Rectangle {
    /// The smallest around these points, which are sorted by y; none if they are all on a line. One of its sides lies on
    /// a side of the convex hull (H. Freeman, R. Shapira: Determining the minimum-area encasing rectangle for an
    /// arbitrary closed curve, 1975).
    pub(crate) fn around(points: &[Point]) -> Option<Self> {
        let hull = hull(points);
        let next = hull.iter().cycle().skip(1);
        let candidates = hull.iter().zip(next).filter_map(|(from, to)| Self::with_side(&hull, *from, *to));
        candidates.min_by(|one, other| one.area().total_cmp(&other.area())).filter(|smallest| smallest.area() > 0.0)
    }

    fn with_side(hull: &[Point], [x, y]: Point, [to_x, to_y]: Point) -> Option<Self> {
        let (dx, dy) = (to_x - x, to_y - y);
        let length = dx.hypot(dy);
        if length == 0.0 {
            return None;
        }
        let direction = [dx / length, dy / length];
        let normal = [-dy / length, dx / length];
        Some(Self { direction, along: reach(hull, direction), across: reach(hull, normal) })
    }

    /// The lengths of its sides.
    pub(crate) fn sides(&self) -> (f64, f64) {
        (self.along.1 - self.along.0, self.across.1 - self.across.0)
    }

    pub(crate) fn area(&self) -> f64 {
        let (length, width) = self.sides();
        length * width
    }

    /// The same with every side moved outwards.
    pub(crate) fn grown(&self, by: f64) -> Self {
        let grow = |(from, to): (f64, f64)| (from - by, to + by);
        Self { direction: self.direction, along: grow(self.along), across: grow(self.across) }
    }

    /// Its corners in order, as OpenCV's users sort them: of the two on the left the upper, then likewise on the right,
    /// the lower right, the lower left.
    pub(crate) fn corners(&self) -> [Point; 4] {
        let [dx, dy] = self.direction;
        let corner = |along: f64, across: f64| [along * dx - across * dy, along * dy + across * dx];
        let (from, to) = (self.along, self.across);
        sorted([corner(from.0, to.0), corner(from.1, to.0), corner(from.1, to.1), corner(from.0, to.1)])
    }
}

/// Four corners clockwise from the upper left, told by which two are leftmost.
pub(crate) fn sorted(mut corners: [Point; 4]) -> [Point; 4] {
    corners.sort_by(|one, other| one[0].total_cmp(&other[0]));
    let [a, b, c, d] = corners;
    let upper_first = |one: Point, other: Point| if one[1] <= other[1] { (one, other) } else { (other, one) };
    let ((upper_left, lower_left), (upper_right, lower_right)) = (upper_first(a, b), upper_first(c, d));
    [upper_left, upper_right, lower_right, lower_left]
}

/// Distance of two points.
pub(crate) fn distance([x, y]: Point, [to_x, to_y]: Point) -> f64 {
    (to_x - x).hypot(to_y - y)
}

/// From where to where points reach in a direction.
fn reach(points: &[Point], [dx, dy]: Point) -> (f64, f64) {
    let places = points.iter().map(|[x, y]| x * dx + y * dy);
    places.fold((f64::INFINITY, f64::NEG_INFINITY), |(from, to), place| (from.min(place), to.max(place)))
}

/// The convex hull of points that are sorted by y (A. M. Andrew's monotone chain, 1979): down one side, up the other.
fn hull(points: &[Point]) -> Vec<Point> {
    let mut down = chain(points.iter().copied());
    let mut up = chain(points.iter().rev().copied());
    down.pop();
    up.pop();
    down.append(&mut up);
    down
}

fn chain(points: impl Iterator<Item = Point>) -> Vec<Point> {
    let mut chain: Vec<Point> = Vec::new();
    for point in points {
        while let [.., before, last] = chain.as_slice()
            && turn(*before, *last, point) <= 0.0
        {
            chain.pop();
        }
        chain.push(point);
    }
    chain
}

/// Positive for a turn to one side, negative for the other, zero on a line.
fn turn([ax, ay]: Point, [bx, by]: Point, [cx, cy]: Point) -> f64 {
    (bx - ax) * (cy - ay) - (by - ay) * (cx - ax)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn near(one: [Point; 4], other: [Point; 4]) -> bool {
        one.iter().zip(other).all(|(one, other)| distance(*one, other) < 1e-9)
    }

    #[test]
    fn an_upright_rectangle_is_found_as_it_is() {
        let points = [[2.0, 1.0], [8.0, 1.0], [3.0, 2.0], [2.0, 4.0], [8.0, 4.0]];
        let rectangle = Rectangle::around(&points).unwrap();
        assert!(near(rectangle.corners(), [[2.0, 1.0], [8.0, 1.0], [8.0, 4.0], [2.0, 4.0]]), "{rectangle:?}");
        let grown = rectangle.grown(1.0).corners();
        assert!(near(grown, [[1.0, 0.0], [9.0, 0.0], [9.0, 5.0], [1.0, 5.0]]), "{grown:?}");
    }

    #[test]
    fn a_tilted_one_is_smaller_than_any_upright_one() {
        // A square on its corner, 45 degrees.
        let points = [[0.0, -5.0], [-5.0, 0.0], [5.0, 0.0], [0.0, 5.0]];
        let rectangle = Rectangle::around(&points).unwrap();
        assert!((rectangle.area() - 50.0).abs() < 1e-9, "{rectangle:?}");
    }

    #[test]
    fn points_on_a_line_have_no_rectangle() {
        assert!(Rectangle::around(&[]).is_none());
        assert!(Rectangle::around(&[[1.0, 1.0]]).is_none());
        assert!(Rectangle::around(&[[1.0, 1.0], [2.0, 2.0], [3.0, 3.0]]).is_none());
    }
}
