//! Where are lines of text, by the map that detection gives? The box around each island of likely pixels, grown to the
//! size that the island was shrunk from in training.
//!
//! M. Liao et al.: Real-time scene text detection with differentiable binarization, 2020, arXiv:1911.08947. Thresholds
//! and rounding are those of RapidOCR 1.4.4 (`ch_ppocr_det`), which these results are compared with in the tests; it
//! rounds once more, to whole pixels of the map before a box grows, so that corners may be a pixel apart.

use crate::rectangle::{Point, Rectangle, distance, sorted};

/// A pixel that is likelier than this belongs to text.
const PIXEL_THRESHOLD: f32 = 0.3;
/// A box is kept if its pixels are this likely on average.
const BOX_THRESHOLD: f32 = 0.5;
/// How far a box grows: its area times this, over its circumference.
const GROWTH: f64 = 1.6;
/// A box with a shorter side is a speck: in pixels of the map, before and after it grows.
const MIN_SIDE: f64 = 3.0;
const MIN_GROWN_SIDE: f64 = 5.0;
/// Likewise in pixels of the picture.
const MIN_SIDE_IN_PICTURE: f64 = 4.0;
/// More islands than on any page; the others are left out.
const MAX_ISLANDS: usize = 1000;

/// How likely each pixel belongs to text, row by row.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Map<'a> {
    pub(crate) likely: &'a [f32],
    pub(crate) width: usize,
    pub(crate) height: usize,
}

/// The boxes, in pixels of a picture of this size, from top to bottom and from left to right. Corners are clockwise from
/// the upper left.
pub(crate) fn find(map: Map<'_>, width: u32, height: u32) -> Vec<[Point; 4]> {
    let islands = islands(map);
    let boxes = islands.iter().take(MAX_ISLANDS).filter_map(|island| around(map, island));
    let mut boxes: Vec<[Point; 4]> = boxes.filter_map(|found| place(map, found, width, height)).collect();
    in_reading_order(&mut boxes);
    boxes
}

/// The grown box around an island, in pixels of the map.
fn around(map: Map<'_>, island: &[Point]) -> Option<[Point; 4]> {
    let rectangle = Rectangle::around(island)?;
    let (length, width) = rectangle.sides();
    if length.min(width) < MIN_SIDE || map.mean(rectangle.corners()) < BOX_THRESHOLD {
        return None;
    }
    let grown = rectangle.grown(rectangle.area() * GROWTH / (2.0 * (length + width)));
    let (length, width) = grown.sides();
    (length.min(width) >= MIN_GROWN_SIDE).then(|| grown.corners())
}

/// From pixels of the map to whole pixels of the picture.
fn place(map: Map<'_>, corners: [Point; 4], width: u32, height: u32) -> Option<[Point; 4]> {
    let scale = |place: f64, of: usize, to: u32| {
        let scaled = (place / of as f64 * f64::from(to)).round_ties_even();
        scaled.clamp(0.0, f64::from(to) - 1.0)
    };
    let placed = corners.map(|[x, y]| [scale(x, map.width, width), scale(y, map.height, height)]);
    let corners = sorted(placed);
    let [upper_left, upper_right, _, lower_left] = corners;
    let sides = [distance(upper_left, upper_right), distance(upper_left, lower_left)];
    sides.iter().all(|side| *side >= MIN_SIDE_IN_PICTURE).then_some(corners)
}

/// Line by line from the top; those on one line by where they begin.
fn in_reading_order(boxes: &mut [[Point; 4]]) {
    let middle = |found: &[Point; 4]| {
        let (top, bottom) = extent(found);
        top + bottom
    };
    boxes.sort_by(|one, other| middle(one).total_cmp(&middle(other)));
    let is_one_line = |one: &[Point; 4], other: &[Point; 4]| on_one_line(extent(one), extent(other));
    for line in boxes.chunk_by_mut(is_one_line) {
        line.sort_by(|[[x, _], ..], [[other_x, _], ..]| x.total_cmp(other_x));
    }
}

/// Where it begins and ends from top to bottom.
fn extent(found: &[Point; 4]) -> (f64, f64) {
    let down = found.iter().map(|[_, y]| *y);
    down.fold((f64::INFINITY, f64::NEG_INFINITY), |(top, bottom), y| (top.min(y), bottom.max(y)))
}

/// True if at least half of the lower one is beside the other.
fn on_one_line(one: (f64, f64), other: (f64, f64)) -> bool {
    let beside = one.1.min(other.1) - one.0.max(other.0);
    2.0 * beside >= (one.1 - one.0).min(other.1 - other.0)
}

impl Map<'_> {
    fn is_text(&self, x: usize, y: usize) -> bool {
        self.likely.get(y * self.width + x).is_some_and(|likely| *likely > PIXEL_THRESHOLD)
    }

    /// Pixels of text, each spread to the right and down, which joins what all but touches.
    fn spread(&self) -> Vec<bool> {
        let mut spread = vec![false; self.width * self.height];
        for (y, row) in spread.chunks_exact_mut(self.width.max(1)).enumerate() {
            for (x, pixel) in row.iter_mut().enumerate() {
                let (left, above) = (x.checked_sub(1), y.checked_sub(1));
                *pixel = self.is_text(x, y)
                    || left.is_some_and(|left| self.is_text(left, y))
                    || above.is_some_and(|above| self.is_text(x, above))
                    || left.zip(above).is_some_and(|(left, above)| self.is_text(left, above));
            }
        }
        spread
    }

    /// The mean of the pixels inside a box, its border among them.
    fn mean(&self, corners: [Point; 4]) -> f32 {
        let within = |place: f64, length: usize| place.clamp(0.0, length.saturating_sub(1) as f64);
        let reach = |axis: fn(&Point) -> f64, length: usize| {
            let places = corners.iter().map(axis);
            let (from, to) = places.fold((f64::MAX, f64::MIN), |(from, to), place| (from.min(place), to.max(place)));
            (within(from.floor(), length) as usize, within(to.ceil(), length) as usize)
        };
        let (left, right) = reach(|point| point[0], self.width);
        let (top, bottom) = reach(|point| point[1], self.height);
        let (mut sum, mut count) = (0.0_f64, 0_u32);
        for y in top..=bottom {
            let row = self.likely.get(y * self.width..).unwrap_or_default();
            for (x, likely) in row.iter().enumerate().take(right + 1).skip(left) {
                if is_inside(corners, [x as f64, y as f64]) {
                    sum += f64::from(*likely);
                    count += 1;
                }
            }
        }
        (sum / f64::from(count.max(1))) as f32
    }
}

/// True if a point is on the inner side of every side of a clockwise box, or less than half a pixel outside.
fn is_inside(corners: [Point; 4], [x, y]: Point) -> bool {
    let next = corners.iter().cycle().skip(1);
    corners.iter().zip(next).all(|([from_x, from_y], [to_x, to_y])| {
        let (dx, dy) = (to_x - from_x, to_y - from_y);
        dx * (y - from_y) - dy * (x - from_x) >= -0.5 * dx.hypot(dy)
    })
}

/// The outermost pixels of each island, row by row. Pixels that touch at a corner belong together.
fn islands(map: Map<'_>) -> Vec<Vec<Point>> {
    let (width, mut land) = (map.width, map.spread());
    let mut islands = Vec::new();
    for start in 0..land.len() {
        if land.get(start) == Some(&true) {
            islands.push(walk(&mut land, width, start));
        }
    }
    islands
}

/// Takes an island from the map, from its first pixel in reading order.
fn walk(land: &mut [bool], width: usize, start: usize) -> Vec<Point> {
    let first_row = start / width;
    let mut reach: Vec<(usize, usize)> = Vec::new();
    let mut pending = Vec::new();
    let mut take = |pixel: usize, pending: &mut Vec<usize>| {
        if let Some(is_land) = land.get_mut(pixel).filter(|is_land| **is_land) {
            *is_land = false;
            pending.push(pixel);
        }
    };
    take(start, &mut pending);
    while let Some(pixel) = pending.pop() {
        let (x, y) = (pixel % width, pixel / width);
        // No row of the island lies above that of its first pixel.
        let row = y.saturating_sub(first_row);
        if reach.len() <= row {
            reach.resize(row + 1, (usize::MAX, 0));
        }
        if let Some((from, to)) = reach.get_mut(row) {
            (*from, *to) = ((*from).min(x), (*to).max(x));
        }
        for y in y.saturating_sub(1)..=y + 1 {
            for x in x.saturating_sub(1)..=(x + 1).min(width - 1) {
                take(y * width + x, &mut pending);
            }
        }
    }
    let points = reach.iter().enumerate().filter(|(_, (from, to))| from <= to).flat_map(|(row, (from, to))| {
        let y = (first_row + row) as f64;
        [[*from as f64, y], [*to as f64, y]]
    });
    points.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A map with upright bars of text: left, top, width, height.
    fn map_of(width: usize, height: usize, bars: &[[usize; 4]]) -> Vec<f32> {
        let mut likely = vec![0.0; width * height];
        for [left, top, wide, high] in bars {
            for y in *top..top + high {
                likely[y * width + left..y * width + left + wide].fill(0.9);
            }
        }
        likely
    }

    #[test]
    fn a_bar_becomes_a_box_that_is_larger_by_its_growth() {
        let likely = map_of(100, 40, &[[20, 10, 50, 10]]);
        let boxes = find(Map { likely: &likely, width: 100, height: 40 }, 200, 80);
        // Spread by a pixel to the right and down, it is 50 by 10 from centre to centre: it grows by 6.67 pixels.
        assert_eq!(boxes, [[[27.0, 7.0], [153.0, 7.0], [153.0, 53.0], [27.0, 53.0]]]);
    }

    #[test]
    fn specks_and_faint_islands_are_no_text() {
        let mut likely = map_of(100, 40, &[[20, 10, 2, 20], [50, 10, 30, 10]]);
        likely.iter_mut().for_each(|likely| *likely *= 0.5);
        assert!(find(Map { likely: &likely, width: 100, height: 40 }, 100, 40).is_empty());
        assert!(find(Map { likely: &[], width: 0, height: 0 }, 10, 10).is_empty());
    }

    #[test]
    fn boxes_are_read_line_by_line() {
        let bars = [[60, 12, 30, 10], [5, 15, 30, 10], [5, 60, 30, 10], [60, 40, 30, 10]];
        let likely = map_of(100, 80, &bars);
        let boxes = find(Map { likely: &likely, width: 100, height: 80 }, 100, 80);
        let starts: Vec<bool> = boxes.iter().map(|found| found[0][0] < 50.0).collect();
        assert_eq!(starts, [true, false, false, true]);
    }

    #[test]
    fn words_of_a_line_are_in_order_however_high_their_letters_are() {
        let word =
            |left: f64, top: f64, bottom: f64| [[left, top], [left + 40.0, top], [left + 40.0, bottom], [left, bottom]];
        // "No", "parking", "on", "Mondays", and a line below.
        let mut boxes = [
            word(150.0, 27.0, 60.0),
            word(0.0, 28.0, 52.0),
            word(50.0, 30.0, 60.0),
            word(100.0, 37.0, 52.0),
            word(0.0, 70.0, 95.0),
        ];
        in_reading_order(&mut boxes);
        let starts: Vec<f64> = boxes.iter().map(|found| found[0][0]).collect();
        assert_eq!(starts, [0.0, 50.0, 100.0, 150.0, 0.0]);
    }

    #[test]
    fn a_whole_map_of_text_is_one_box() {
        let likely = vec![1.0; 64 * 64];
        let boxes = find(Map { likely: &likely, width: 64, height: 64 }, 64, 64);
        assert_eq!(boxes, [[[0.0, 0.0], [63.0, 0.0], [63.0, 63.0], [0.0, 63.0]]]);
    }
}
