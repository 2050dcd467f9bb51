//! From the bytes of a PNG file to the numbers that the network reads.
//!
//! What it is not: a general image reader. A picture must be [`SIDE`] x [`SIDE`] pixels of 8 bits
//! or fewer a channel and at most [`MAX_PNG_BYTES`] long; anything else is an error, never a crop.
//! Format: [PNG, third edition](https://www.w3.org/TR/png-3/).

use std::io::Cursor;

use png::{ColorType, Decoder, Limits, Transformations};

/// Height and width of a picture.
pub const SIDE: usize = 24;
/// Channels of a decoded picture: red, green, blue (each multiplied by alpha) and alpha.
pub const CHANNELS: usize = 4;
/// Bytes of a decoded picture.
pub const PIXELS: usize = SIDE * SIDE * CHANNELS;

/// Cells in each direction over which colour and edges are averaged.
const CELLS: usize = 6;
/// Edge directions, as unit vectors (right, down).
const DIRECTIONS: [[f32; 2]; 8] = [
    [1.0, 0.0],
    [DIAGONAL, DIAGONAL],
    [0.0, 1.0],
    [-DIAGONAL, DIAGONAL],
    [-1.0, 0.0],
    [-DIAGONAL, -DIAGONAL],
    [0.0, -1.0],
    [DIAGONAL, -DIAGONAL],
];
const DIAGONAL: f32 = std::f32::consts::FRAC_1_SQRT_2;
/// Steps of each colour in the histogram.
const SHADES: usize = 4;
const COLOURS: usize = SHADES * SHADES * SHADES;
/// Pixels of a picture and of a cell.
const AREA: f32 = 576.0;
const CELL_AREA: f32 = 16.0;
/// Numbers that [`features`] gives: cell colours, edges of brightness and of alpha, histogram.
pub const FEATURES: usize = CELLS * CELLS * (CHANNELS + 2 * DIRECTIONS.len()) + COLOURS;

/// The longest PNG file that is read.
pub const MAX_PNG_BYTES: usize = 64 * 1024;
/// The most memory that decoding may take.
const MAX_DECODER_BYTES: usize = 1024 * 1024;

/// What is wrong with a picture.
#[derive(Debug, thiserror::Error, PartialEq)]
#[non_exhaustive]
pub enum ImageError {
    /// The file is longer than is read.
    #[error("the file has {bytes} bytes, more than the {MAX_PNG_BYTES} allowed")]
    TooLong {
        /// Length of the file.
        bytes: usize,
    },
    /// The bytes are not a whole PNG file.
    #[error("not a whole PNG file: {reason}")]
    NotPng {
        /// What the decoder says.
        reason: String,
    },
    /// The picture has other measures.
    #[error("the picture is {width} x {height} pixels, not {SIDE} x {SIDE}")]
    WrongSize {
        /// Width found.
        width: u32,
        /// Height found.
        height: u32,
    },
}

/// Decodes a PNG file to [`PIXELS`] bytes: rows of red, green, blue (each multiplied by alpha) and
/// alpha.
pub fn decode(bytes: &[u8]) -> Result<Vec<u8>, ImageError> {
    if bytes.len() > MAX_PNG_BYTES {
        return Err(ImageError::TooLong { bytes: bytes.len() });
    }
    let limits = Limits {
        bytes: MAX_DECODER_BYTES,
    };
    let mut decoder = Decoder::new_with_limits(Cursor::new(bytes), limits);
    decoder.set_transformations(Transformations::normalize_to_color8() | Transformations::ALPHA);
    let mut reader = decoder.read_info().map_err(not_png)?;
    let (width, height) = (reader.info().width, reader.info().height);
    if (usize::try_from(width), usize::try_from(height)) != (Ok(SIDE), Ok(SIDE)) {
        return Err(ImageError::WrongSize { width, height });
    }
    let mut raw = vec![0; PIXELS];
    let frame = reader.next_frame(&mut raw).map_err(not_png)?;
    reader.finish().map_err(not_png)?;
    let raw = raw.get(..frame.buffer_size()).unwrap_or_default();
    let pixels: Vec<u8> = match frame.color_type {
        ColorType::Rgba => raw
            .as_chunks()
            .0
            .iter()
            .flat_map(|p| premultiply(*p))
            .collect(),
        ColorType::GrayscaleAlpha => raw
            .as_chunks()
            .0
            .iter()
            .flat_map(|&[g, a]| premultiply([g, g, g, a]))
            .collect(),
        other => {
            return Err(ImageError::NotPng {
                reason: format!("colour type {other:?}"),
            });
        }
    };
    if pixels.len() != PIXELS {
        return Err(ImageError::NotPng {
            reason: "too few pixels".to_owned(),
        });
    }
    Ok(pixels)
}

#[expect(
    clippy::needless_pass_by_value,
    reason = "the form that `map_err` takes"
)]
fn not_png(error: png::DecodingError) -> ImageError {
    ImageError::NotPng {
        reason: error.to_string(),
    }
}

fn premultiply([r, g, b, a]: [u8; CHANNELS]) -> [u8; CHANNELS] {
    let times = |c: u8| {
        let product = u16::from(c) * u16::from(a) + 127;
        u8::try_from(product / 255).unwrap_or(u8::MAX)
    };
    [times(r), times(g), times(b), a]
}

/// Returns a decoded picture with left and right exchanged: how training sees it a second time.
pub(crate) fn mirrored(pixels: &[u8]) -> Vec<u8> {
    let (pixels, _) = pixels.as_chunks::<CHANNELS>();
    pixels
        .chunks(SIDE)
        .flat_map(|row| row.iter().rev())
        .flatten()
        .copied()
        .collect()
}

/// Describes a decoded picture by [`FEATURES`] bytes.
///
/// In this order: the mean colour of each of 6 x 6 cells; for brightness (over white) and for
/// alpha, the root of the mean strength of edges in 8 directions in each cell; the root of the
/// share of each of 64 colours, weighted by alpha. Values in `[0, 1]` are rounded to 255ths.
pub fn features(pixels: &[u8]) -> Vec<u8> {
    let (pixels, _) = pixels.as_chunks::<CHANNELS>();
    let mut colours = [[0.0f32; CHANNELS]; CELLS * CELLS];
    let mut histogram = [0.0f32; COLOURS];
    let (mut brightness, mut alpha) = (Vec::new(), Vec::new());
    for (at, pixel) in pixels.iter().enumerate() {
        let [r, g, b, a] = pixel.map(|v| f32::from(v) / 255.0);
        for (sum, value) in colours
            .get_mut(cell(at))
            .into_iter()
            .flatten()
            .zip([r, g, b, a])
        {
            *sum += value / CELL_AREA;
        }
        let colour = pixel.iter().take(CHANNELS - 1);
        let shade = colour.fold(0, |at, v| at * SHADES + usize::from(*v) * SHADES / 256);
        if let Some(count) = histogram.get_mut(shade) {
            *count += a / AREA;
        }
        brightness.push((r + g + b) / 3.0 + 1.0 - a);
        alpha.push(a);
    }
    let edges = [edges(&brightness), edges(&alpha)];
    let colours = colours.as_flattened().iter().copied();
    let edges = edges
        .as_flattened()
        .as_flattened()
        .iter()
        .map(|v| (v / CELL_AREA).sqrt());
    let histogram = histogram.iter().map(|v| v.sqrt());
    colours.chain(edges).chain(histogram).map(byte).collect()
}

fn cell(at: usize) -> usize {
    let size = SIDE / CELLS;
    (at / SIDE / size) * CELLS + at % SIDE / size
}

/// Sums, over each cell, how strongly brightness rises in each direction.
fn edges(map: &[f32]) -> [[f32; 8]; CELLS * CELLS] {
    let mut sums = [[0.0; 8]; CELLS * CELLS];
    let value = |y: usize, x: usize| map.get(y * SIDE + x).copied().unwrap_or_default();
    for y in 1..SIDE - 1 {
        for x in 1..SIDE - 1 {
            let right = value(y, x + 1) - value(y, x - 1);
            let down = value(y + 1, x) - value(y - 1, x);
            let Some(sums) = sums.get_mut(cell(y * SIDE + x)) else {
                continue;
            };
            for (sum, [u, v]) in sums.iter_mut().zip(DIRECTIONS) {
                *sum += (right * u + down * v).max(0.0);
            }
        }
    }
    sums
}

/// Rounds a number in `[0, 1]` to 255ths, without a float-to-integer cast.
fn byte(value: f32) -> u8 {
    let scaled = value.clamp(0.0, 1.0) * 255.0;
    (0..=u8::MAX)
        .rev()
        .find(|b| f32::from(*b) - 0.5 <= scaled)
        .unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn png(side: u32, color: png::ColorType, data: &[u8]) -> Vec<u8> {
        let mut bytes = Vec::new();
        let mut encoder = png::Encoder::new(&mut bytes, side, side);
        encoder.set_color(color);
        encoder
            .write_header()
            .unwrap()
            .write_image_data(data)
            .unwrap();
        bytes
    }

    /// Left half opaque red, right half transparent.
    fn half_red() -> Vec<u8> {
        let pixel = |at: usize| {
            if at % SIDE < 12 {
                [255, 0, 0, 255]
            } else {
                [9, 9, 9, 0]
            }
        };
        png(
            24,
            ColorType::Rgba,
            &(0..576).flat_map(pixel).collect::<Vec<u8>>(),
        )
    }

    #[test]
    fn decodes_and_multiplies_by_alpha() {
        let pixels = decode(&half_red()).unwrap();
        assert_eq!(pixels[..4], [255, 0, 0, 255]);
        assert_eq!(pixels[PIXELS - 4..], [0, 0, 0, 0]);
        let grey = decode(&png(24, ColorType::Grayscale, &[7; 576])).unwrap();
        assert_eq!(grey[..4], [7, 7, 7, 255]);
        assert_eq!(premultiply([200, 100, 0, 128]), [100, 50, 0, 128]);
    }

    #[test]
    fn rejects_what_is_not_a_whole_picture_of_the_right_size() {
        let good = half_red();
        for length in 0..good.len() {
            let error = decode(&good[..length]).unwrap_err();
            assert!(
                matches!(error, ImageError::NotPng { .. }),
                "{length}: {error}"
            );
        }
        let small = png(23, ColorType::Grayscale, &[0; 23 * 23]);
        assert_eq!(
            decode(&small),
            Err(ImageError::WrongSize {
                width: 23,
                height: 23
            })
        );
        let long = vec![0; MAX_PNG_BYTES + 1];
        assert_eq!(
            decode(&long),
            Err(ImageError::TooLong {
                bytes: MAX_PNG_BYTES + 1
            })
        );
    }

    #[test]
    fn no_damaged_byte_makes_the_decoder_panic() {
        let good = half_red();
        for at in 0..good.len() {
            let mut bad = good.clone();
            bad[at] ^= 0x55;
            if let Ok(pixels) = decode(&bad) {
                assert_eq!(pixels.len(), PIXELS);
            }
        }
    }

    #[test]
    fn features_say_where_colour_and_edges_are() {
        let found = features(&decode(&half_red()).unwrap());
        assert_eq!(found.len(), FEATURES);
        assert_eq!(
            (found[0], found[1], found[3]),
            (255, 0, 255),
            "red, green, alpha at top left"
        );
        assert_eq!(found[4 * 5..4 * 6], [0; 4], "nothing at top right");
        // Alpha falls to the right in the middle: direction 4 (left) is strong, 0 (right) absent.
        let alpha = &found[CELLS * CELLS * (CHANNELS + 8)..];
        let middle = &alpha[(6 + 2) * 8..(6 + 3) * 8];
        assert!(middle[0] == 0 && middle[4] > 100, "{middle:?}");
        let histogram = &found[FEATURES - COLOURS..];
        assert_eq!(
            histogram[48],
            byte(0.5f32.sqrt()),
            "half the picture is red"
        );
        assert_eq!(mirrored(&mirrored(&found[..96])), found[..96]);
    }

    #[test]
    fn rounds_to_the_nearest_byte() {
        for b in 0..=255u8 {
            assert_eq!(byte(f32::from(b) / 255.0), b);
        }
        assert_eq!(
            (byte(-1.0), byte(2.0), byte(0.001), byte(0.003)),
            (0, 255, 0, 1)
        );
    }
}
