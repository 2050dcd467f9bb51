//! Builds images, recordings, documents and tables, byte by byte.

pub fn be32(number: usize) -> [u8; 4] {
    u32::try_from(number).unwrap().to_be_bytes()
}

pub fn le32(number: usize) -> [u8; 4] {
    u32::try_from(number).unwrap().to_le_bytes()
}

/// A PNG of one pixel, with chunks before its pixels.
pub fn png(side: usize, chunks: &[(&[u8; 4], &[u8])]) -> Vec<u8> {
    let mut out = b"\x89PNG\r\n\x1a\n".to_vec();
    let mut chunk = |kind: &[u8], data: &[u8]| {
        let body = [kind, data].concat();
        out.extend(be32(data.len()));
        out.extend(&body);
        out.extend(crc32fast::hash(&body).to_be_bytes());
    };
    let header = [&be32(side)[..], &be32(side), &[8, 2, 0, 0, 0]].concat();
    chunk(b"IHDR", &header);
    for (kind, data) in chunks {
        chunk(*kind, data);
    }
    chunk(b"IDAT", b"\x78\x9c\x63\x60\x60\x60\0\0\0\x04\0\x01");
    chunk(b"IEND", b"");
    out
}

pub fn jpeg(comment: &[u8]) -> Vec<u8> {
    let mut out = b"\xff\xd8\xff\xe0\0\x10JFIF\0\x01\x01\0\0\x01\0\x01\0\0\xff\xfe".to_vec();
    out.extend(u16::try_from(comment.len() + 2).unwrap().to_be_bytes());
    out.extend(comment);
    out.extend(b"\xff\xc0\0\x0b\x08\0\x01\0\x01\x01\x01\x11\0\xff\xda\0\x08\x01\x01\0\0\x3f\0");
    out.extend(b"\x12\x34\xff\0\x56\xff\xd9");
    out
}

pub fn gif(comment: &[u8]) -> Vec<u8> {
    let mut out = b"GIF89a\x01\0\x01\0\x80\0\0\0\0\0\xff\xff\xff\x21\xfe".to_vec();
    for part in comment.chunks(255) {
        out.push(u8::try_from(part.len()).unwrap());
        out.extend(part);
    }
    out.extend(b"\0\x2c\0\0\0\0\x01\0\x01\0\0\x02\x02\x44\x01\0\x3b");
    out
}

pub fn riff(form: [u8; 4], chunks: &[(&[u8; 4], &[u8])]) -> Vec<u8> {
    let mut body = form.to_vec();
    for (name, data) in chunks {
        body.extend(*name);
        body.extend(le32(data.len()));
        body.extend(*data);
        if data.len() % 2 == 1 {
            body.push(0);
        }
    }
    [b"RIFF", &le32(body.len())[..], &body].concat()
}

pub fn wav(text: &[u8]) -> Vec<u8> {
    let list = [b"INFOISFT", &le32(text.len())[..], text].concat();
    let format = b"\x01\0\x01\0\x44\xac\0\0\x88\x58\x01\0\x02\0\x10\0";
    riff(
        *b"WAVE",
        &[
            (b"fmt ", format),
            (b"LIST", &list),
            (b"data", &[1, 2, 3, 4]),
        ],
    )
}

pub fn webp() -> Vec<u8> {
    riff(*b"WEBP", &[(b"VP8L", &[0x2f, 0, 0, 0, 0, 7])])
}

pub fn aiff() -> Vec<u8> {
    let mut out = b"FORM".to_vec();
    out.extend(be32(4 + 8 + 18 + 8 + 12));
    out.extend(b"AIFFCOMM");
    out.extend(be32(18));
    out.extend([0; 18]);
    out.extend(b"SSND");
    out.extend(be32(12));
    out.extend([0; 12]);
    out
}

pub fn bmp() -> Vec<u8> {
    let mut out =
        b"BM\x3a\0\0\0\0\0\0\0\x36\0\0\0\x28\0\0\0\x01\0\0\0\x01\0\0\0\x01\0\x18\0".to_vec();
    out.extend([0; 24]);
    out.extend([1, 2, 3, 0]);
    out
}

pub fn ico() -> Vec<u8> {
    let image = png(1, &[]);
    let mut out = vec![0, 0, 1, 0, 1, 0, 1, 1, 0, 0, 1, 0, 32, 0];
    out.extend(le32(image.len()));
    out.extend(le32(22));
    out.extend(image);
    out
}

pub fn tiff(description: &[u8]) -> Vec<u8> {
    let after = 8 + 2 + 5 * 12 + 4;
    let mut out = b"II*\0\x08\0\0\0\x05\0".to_vec();
    let mut field = |tag: u16, kind: u16, count: usize, value: usize| {
        out.extend(tag.to_le_bytes());
        out.extend(kind.to_le_bytes());
        out.extend(le32(count));
        out.extend(le32(value));
    };
    field(256, 4, 1, 1);
    field(257, 4, 1, 1);
    field(270, 2, description.len(), after + 4);
    field(273, 4, 1, after);
    field(279, 4, 1, 4);
    out.extend([0; 4]);
    out.extend([9; 4]);
    out.extend(description);
    out
}

pub fn flac(comment: &[u8]) -> Vec<u8> {
    let mut out = b"fLaC\0\0\0\x22".to_vec();
    out.extend([0; 34]);
    out.push(0x84);
    out.extend(&be32(comment.len())[1..]);
    out.extend(comment);
    out.extend(b"\xff\xf8\xc9\x18\0\0\0\0");
    out
}

pub fn mp3(title: &[u8]) -> Vec<u8> {
    let mut out = b"ID3\x04\0\0\0\0\0".to_vec();
    out.push(u8::try_from(title.len() + 10).unwrap());
    out.extend(b"TIT2\0\0\0");
    out.push(u8::try_from(title.len()).unwrap());
    out.extend(b"\0\0");
    out.extend(title);
    for _ in 0..4 {
        // 128 kbit/s at 44.1 kHz: 417 bytes.
        out.extend(b"\xff\xfb\x90\x64");
        out.extend([0; 413]);
    }
    out
}

pub fn ogg(comment: &[u8]) -> Vec<u8> {
    let page = |position: u64, data: &[u8]| {
        let mut out = b"OggS\0\x02".to_vec();
        out.extend(position.to_le_bytes());
        out.extend([0; 12]);
        out.push(1);
        out.push(u8::try_from(data.len()).unwrap());
        out.extend(data);
        out
    };
    [page(0, comment), page(960, &[7; 99])].concat()
}

pub fn boxed(name: [u8; 4], data: &[u8]) -> Vec<u8> {
    [&be32(data.len() + 8)[..], &name, data].concat()
}

pub fn mp4(text: &[u8]) -> Vec<u8> {
    let moov = boxed(*b"moov", &boxed(*b"udta", &boxed(*b"name", text)));
    [
        boxed(*b"ftyp", b"isom\0\0\0\0isom"),
        moov,
        boxed(*b"mdat", &[5; 40]),
    ]
    .concat()
}

pub fn element(id: &[u8], data: &[u8]) -> Vec<u8> {
    let mut out = id.to_vec();
    out.push(0x40 | u8::try_from(data.len() >> 8).unwrap());
    out.push(u8::try_from(data.len() & 255).unwrap());
    out.extend(data);
    out
}

pub fn matroska(attached: &[u8]) -> Vec<u8> {
    let file = element(b"\x61\xa7", &element(b"\x46\x5c", attached));
    let segment = [
        element(b"\x19\x41\xa4\x69", &file),
        element(b"\x1f\x43\xb6\x75", &[3; 20]),
    ];
    [
        element(b"\x1a\x45\xdf\xa3", &element(b"\x42\x82", b"matroska")),
        element(b"\x18\x53\x80\x67", &segment.concat()),
    ]
    .concat()
}

pub fn pdf(catalog: &str) -> Vec<u8> {
    format!(
        "%PDF-1.7\n1 0 obj\n<< /Type /Catalog {catalog} >>\nendobj\n2 0 obj\n<< /Length 4 >>\nstream\n\
         abcd\nendstream\nendobj\ntrailer\n<< /Root 1 0 R >>\nstartxref\n0\n%%EOF\n"
    )
    .into_bytes()
}

pub fn svg(inside: &str) -> Vec<u8> {
    format!(
        "<?xml version=\"1.0\"?>\n<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"1\">{inside}</svg>\n"
    )
    .into_bytes()
}

/// A field of Thrift's compact protocol, as a difference to the one before.
fn field(step: u8, kind: u8, value: &[u8]) -> Vec<u8> {
    [&[step << 4 | kind][..], value].concat()
}

fn zigzag(number: usize) -> Vec<u8> {
    varint(number << 1)
}

pub fn varint(mut number: usize) -> Vec<u8> {
    let mut out = Vec::new();
    while number > 127 {
        out.push(u8::try_from(number & 127).unwrap() | 128);
        number >>= 7;
    }
    out.push(u8::try_from(number).unwrap());
    out
}

fn text(text: &str) -> Vec<u8> {
    [varint(text.len()), text.as_bytes().to_vec()].concat()
}

/// A Parquet file of one column of bytes, written plainly; `path` is where it lies, if not here.
#[allow(clippy::too_many_lines, reason = "a table of cases")]
pub fn parquet(name: &str, cells: &[&[u8]], path: Option<&str>) -> Vec<u8> {
    let mut values = Vec::new();
    for cell in cells {
        values.extend(le32(cell.len()));
        values.extend(*cell);
    }
    let inner = [
        field(1, 5, &zigzag(cells.len())),
        field(1, 5, &[0]),
        field(1, 5, &zigzag(3)),
        field(1, 5, &zigzag(3)),
        vec![0],
    ];
    let header = [
        field(1, 5, &[0]),
        field(1, 5, &zigzag(values.len())),
        field(1, 5, &zigzag(values.len())),
        field(2, 12, &inner.concat()),
        vec![0],
    ];
    let page = [header.concat(), values].concat();
    let root = [field(4, 8, &text("root")), field(1, 5, &zigzag(1)), vec![0]];
    let leaf = [
        field(1, 5, &zigzag(6)),
        field(2, 5, &[0]),
        field(1, 8, &text(name)),
        vec![0],
    ];
    let described = [
        field(1, 5, &zigzag(6)),
        field(1, 9, &[0x15, 0]),
        field(1, 9, &[&[0x18][..], &text(name)].concat()),
        field(1, 5, &[0]),
        field(1, 6, &zigzag(cells.len())),
        field(1, 6, &zigzag(page.len())),
        field(1, 6, &zigzag(page.len())),
        field(2, 6, &zigzag(4)),
        vec![0],
    ];
    let place = path.map(|path| field(1, 8, &text(path)));
    let step = if path.is_some() { 1 } else { 2 };
    let column = [
        place.unwrap_or_default(),
        field(step, 6, &zigzag(4)),
        field(1, 12, &described.concat()),
        vec![0],
    ];
    let group = [
        field(1, 9, &[&[0x1c][..], &column.concat()].concat()),
        field(1, 6, &zigzag(page.len())),
        field(1, 6, &zigzag(cells.len())),
        vec![0],
    ];
    let footer = [
        field(1, 5, &zigzag(1)),
        field(
            1,
            9,
            &[&[0x2c][..], &root.concat(), &leaf.concat()].concat(),
        ),
        field(1, 6, &zigzag(cells.len())),
        field(1, 9, &[&[0x1c][..], &group.concat()].concat()),
        vec![0],
    ]
    .concat();
    [&b"PAR1"[..], &page, &footer, &le32(footer.len()), b"PAR1"].concat()
}

/// Records of `TFRecord`, each an example with one feature.
pub fn tfrecord(values: &[&[u8]]) -> Vec<u8> {
    let mut out = Vec::new();
    for value in values {
        let held = |number: usize, data: &[u8]| {
            [varint(number << 3 | 2), varint(data.len()), data.to_vec()].concat()
        };
        let feature = held(1, &held(1, value));
        let entry = [held(1, b"value"), held(2, &feature)].concat();
        let record = held(1, &held(1, &entry));
        let len = u64::try_from(record.len()).unwrap().to_le_bytes();
        out.extend(len);
        out.extend(masked(&len).to_le_bytes());
        out.extend(&record);
        out.extend(masked(&record).to_le_bytes());
    }
    out
}

fn masked(bytes: &[u8]) -> u32 {
    let sum = bytes.iter().fold(u32::MAX, |sum, byte| {
        (0..8).fold(sum ^ u32::from(*byte), |sum, _| {
            (sum >> 1) ^ (0x82f6_3b78 * (sum & 1))
        })
    });
    (!sum).rotate_right(15).wrapping_add(0xa282_ead8)
}

pub fn avro(record: &[u8]) -> Vec<u8> {
    let long = |text: &[u8]| [zigzag(text.len()), text.to_vec()].concat();
    [
        b"Obj\x01".to_vec(),
        zigzag(1),
        long(b"avro.schema"),
        long(b"\"string\""),
        vec![0],
        vec![7; 16],
        zigzag(1),
        zigzag(record.len()),
        record.to_vec(),
        vec![7; 16],
    ]
    .concat()
}

/// A database of one page, with one statement in its schema.
pub fn sqlite(kind: &str, statement: &str) -> Vec<u8> {
    let mut page = vec![0; 1024];
    let texts = [kind, "x", "x"];
    let mut head: Vec<u8> = texts
        .iter()
        .flat_map(|text| varint(text.len() * 2 + 13))
        .collect();
    head.push(0);
    // Numbers of more than seven bits begin with their highest ones here.
    let long = statement.len() * 2 + 13;
    head.extend([
        u8::try_from(long >> 7).unwrap() | 128,
        u8::try_from(long & 127).unwrap(),
    ]);
    let mut record = vec![u8::try_from(head.len() + 1).unwrap()];
    record.extend(head);
    record.extend(texts.concat().bytes());
    record.extend(statement.bytes());
    let len = record.len();
    let mut cell = vec![
        u8::try_from(len >> 7).unwrap() | 128,
        u8::try_from(len & 127).unwrap(),
        1,
    ];
    cell.extend(record);
    let at = page.len() - cell.len();
    page[at..].copy_from_slice(&cell);
    page[..16].copy_from_slice(b"SQLite format 3\0");
    page[16..24].copy_from_slice(&[4, 0, 1, 1, 0, 64, 32, 32]);
    page[28..32].copy_from_slice(&[0, 0, 0, 1]);
    let at = u16::try_from(at).unwrap().to_be_bytes();
    page[100..110].copy_from_slice(&[13, 0, 0, 0, 1, at[0], at[1], 0, at[0], at[1]]);
    page
}
