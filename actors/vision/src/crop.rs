//! How does a line of text, at any angle in the picture, become an upright picture of its own?

use image::{Rgb, RgbImage, imageops};

use crate::rectangle::{Point, distance};

/// A line so much higher than it is wide is written from top to bottom: it is laid on its side.
const UPRIGHT: f64 = 1.5;
/// The slope of the cubic that OpenCV takes.
const SLOPE: f64 = -0.75;

/// Cuts out what is inside four corners, clockwise from the upper left, and makes it a rectangle.
pub(crate) fn crop(picture: &RgbImage, corners: [Point; 4]) -> RgbImage {
    let [upper_left, upper_right, lower_right, lower_left] = corners;
    let width = distance(upper_left, upper_right).max(distance(lower_right, lower_left)) as u32;
    let height = distance(upper_left, lower_left).max(distance(upper_right, lower_right)) as u32;
    let (width, height) = (width.max(1), height.max(1));
    let lead = Projection::onto(corners, f64::from(width), f64::from(height));
    let cut = RgbImage::from_fn(width, height, |x, y| sample(picture, lead.from(f64::from(x), f64::from(y))));
    if f64::from(height) / f64::from(width) >= UPRIGHT { imageops::rotate270(&cut) } else { cut }
}

/// Leads from a rectangle at the origin into the picture: `x = (a·u + b·v + c) / (g·u + h·v + 1)`, y likewise (P. S.
/// Heckbert: Fundamentals of texture mapping and image warping, 1989, section 2.2.3).
struct Projection {
    x: [f64; 3],
    y: [f64; 3],
    depth: [f64; 2],
    width: f64,
    height: f64,
}

impl Projection {
    fn onto([[x0, y0], [x1, y1], [x2, y2], [x3, y3]]: [Point; 4], width: f64, height: f64) -> Self {
        let (dx1, dx2, sum_x) = (x1 - x2, x3 - x2, x0 - x1 + x2 - x3);
        let (dy1, dy2, sum_y) = (y1 - y2, y3 - y2, y0 - y1 + y2 - y3);
        let determinant = dx1 * dy2 - dx2 * dy1;
        let (g, h) = match determinant == 0.0 {
            true => (0.0, 0.0),
            false => ((sum_x * dy2 - dx2 * sum_y) / determinant, (dx1 * sum_y - sum_x * dy1) / determinant),
        };
        Self {
            x: [x1 - x0 + g * x1, x3 - x0 + h * x3, x0],
            y: [y1 - y0 + g * y1, y3 - y0 + h * y3, y0],
            depth: [g, h],
            width,
            height,
        }
    }

    fn from(&self, x: f64, y: f64) -> Point {
        let (u, v) = (x / self.width, y / self.height);
        let [g, h] = self.depth;
        let depth = g * u + h * v + 1.0;
        [self.x, self.y].map(|[a, b, c]| (a * u + b * v + c) / depth)
    }
}

/// The colour at a place between pixels, bicubic over the sixteen nearest; beyond the edge the edge goes on.
fn sample(picture: &RgbImage, [x, y]: Point) -> Rgb<u8> {
    let (right, bottom) = (f64::from(picture.width()) - 1.0, f64::from(picture.height()) - 1.0);
    let (column, row) = (x.floor(), y.floor());
    let (across, down) = (weights(x - column), weights(y - row));
    let mut sum = [0.0; 3];
    for (dy, weight_y) in (-1..=2).zip(down) {
        for (dx, weight_x) in (-1..=2).zip(across) {
            let near_x = (column + f64::from(dx)).clamp(0.0, right) as u32;
            let near_y = (row + f64::from(dy)).clamp(0.0, bottom) as u32;
            let colours = picture.get_pixel(near_x, near_y).0;
            for (sum, colour) in sum.iter_mut().zip(colours) {
                *sum += f64::from(colour) * weight_x * weight_y;
            }
        }
    }
    Rgb(sum.map(|colour| colour.round().clamp(0.0, 255.0) as u8))
}

/// Weights of the pixel before, the one at, and the two after a place that is so far from one pixel to the next (R. G.
/// Keys: Cubic convolution interpolation for digital image processing, 1981).
fn weights(part: f64) -> [f64; 4] {
    let near = |d: f64| ((SLOPE + 2.0) * d - (SLOPE + 3.0)) * d * d + 1.0;
    let far = |d: f64| ((SLOPE * d - 5.0 * SLOPE) * d + 8.0 * SLOPE) * d - 4.0 * SLOPE;
    [far(part + 1.0), near(part), near(1.0 - part), far(2.0 - part)]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn gradient() -> RgbImage {
        RgbImage::from_fn(40, 30, |x, y| Rgb([(x * 5) as u8, (y * 7) as u8, 100]))
    }

    #[test]
    fn an_upright_box_is_cut_out_as_it_is() {
        let cut = crop(&gradient(), [[5.0, 6.0], [25.0, 6.0], [25.0, 16.0], [5.0, 16.0]]);
        assert_eq!(cut.dimensions(), (20, 10));
        assert_eq!(cut, imageops::crop_imm(&gradient(), 5, 6, 20, 10).to_image());
    }

    #[test]
    fn a_line_from_top_to_bottom_is_laid_on_its_side() {
        let cut = crop(&gradient(), [[5.0, 5.0], [10.0, 5.0], [10.0, 25.0], [5.0, 25.0]]);
        assert_eq!(cut.dimensions(), (20, 5));
        // What was at the top right is at the top left: turned to the left.
        assert_eq!(cut.get_pixel(0, 0), gradient().get_pixel(9, 5));
    }

    #[test]
    fn beyond_the_edge_the_edge_goes_on() {
        let cut = crop(&gradient(), [[-10.0, -10.0], [10.0, -10.0], [10.0, 0.0], [-10.0, 0.0]]);
        assert_eq!(cut.get_pixel(0, 0), gradient().get_pixel(0, 0));
    }

    #[test]
    fn a_box_without_a_surface_is_no_crash() {
        assert_eq!(crop(&gradient(), [[3.0, 3.0]; 4]).dimensions(), (1, 1));
    }

    #[test]
    fn a_quarter_turn_is_undone() {
        let cut = crop(&gradient(), [[5.0, 25.0], [5.0, 5.0], [15.0, 5.0], [15.0, 25.0]]);
        assert_eq!(cut.dimensions(), (20, 10));
        assert_eq!(cut.get_pixel(0, 0), gradient().get_pixel(5, 25));
    }
}
