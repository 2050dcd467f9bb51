//! Rules about archives and packed streams.

use super::rules;

rules! {
    ZIP_NAMES_DIFFER = "zip/names-differ", High, "A zip archive has two names for one member",
        "The header before a member and the directory at the end name it differently. Programs \
         differ in which they believe, so that one scans another file than the next one loads.",
        "Do not use the archive.",
        [436, 20], ["AML.T0015", "LLM03:2025"];
    ZIP_HEADERS_DIFFER = "zip/headers-differ", High, "A zip archive has two descriptions of one member",
        "The header before a member and the directory at the end disagree about its size or about \
         how it is packed, so that programs unpack different bytes.",
        "Do not use the archive.",
        [436, 20], ["AML.T0015", "LLM03:2025"];
    ZIP_FLAGS = "zip/flags", Medium, "A zip archive calls a readable member encrypted",
        "A flag says that a member is encrypted or a patch. Scanners have been stopped by that, \
         while loaders such as PyTorch's do not mind.",
        "Do not use the archive unless you encrypted it.",
        [436], ["AML.T0015", "LLM03:2025"];
    ZIP_CHECKSUM = "zip/checksum", Medium, "A zip archive has a wrong checksum",
        "The checksum of a member is not that of its bytes. Scanners have been stopped by that, \
         while loaders such as PyTorch's do not mind.",
        "Get the archive again from its source.",
        [354], ["AML.T0015", "LLM03:2025"];
    ZIP_OVERLAP = "zip/overlap", High, "Members of a zip archive share bytes",
        "No program that writes archives does that; it makes small archives unpack to endless ones, \
         or shows different programs different members.",
        "Do not use the archive.",
        [436, 409], ["AML.T0015", "LLM10:2025"];
    ZIP_HIDDEN = "zip/hidden-member", Medium, "A zip archive has a member that its directory leaves out",
        "Programs that read from the beginning see it, and those that read the directory do not.",
        "Find out what wrote the archive; look at the findings inside.",
        [436], ["AML.T0015", "LLM03:2025"];
    ZIP_DUPLICATE = "zip/duplicate-name", Medium, "A zip archive has two members of one name",
        "Programs differ in which of them they take.",
        "Find out what wrote the archive.",
        [436], ["AML.T0015", "LLM03:2025"];
    ZIP_DIRECTORIES = "zip/two-directories", High, "A zip archive has two directories",
        "Programs find the directory in different ways, and in this archive these lead to different \
         ones, so that one scans other members than the next one loads.",
        "Do not use the archive.",
        [436], ["AML.T0015", "LLM03:2025"];
    ZIP_STRAY = "zip/stray-bytes", Low, "A zip archive has bytes that belong to no member",
        "Bytes lie between or behind members, and no header says what they are. Something else may \
         be carried there.",
        "Find out what wrote the archive; look at the findings inside.",
        [436], ["LLM03:2025"];
    ARCHIVE_ENCRYPTED = "archive/encrypted", Low, "An archive is encrypted",
        "What is encrypted cannot be looked at, and passes every scanner.",
        "Decrypt it and scan what comes out.",
        [311], ["AML.T0015", "LLM03:2025"];
    ZIP_BROKEN = "zip/broken", Medium, "A zip archive is broken",
        "Part of the archive is missing or contradicts itself. Loaders repair more than one thinks.",
        "Get the archive again from its source.",
        [20], ["LLM03:2025"];
    ARCHIVE_PATH = "archive/path", High, "An archive writes outside of its folder",
        "The name of a member leads out of the folder that the archive is unpacked into.",
        "Do not unpack the archive.",
        [22], ["AML.T0011", "LLM03:2025"];
    ARCHIVE_LINK = "archive/link", Medium, "An archive holds a link",
        "What is written through a link, or read through it, lies somewhere else.",
        "Find out where it leads before you unpack the archive.",
        [59, 61], ["LLM03:2025"];
    ARCHIVE_UNREAD = "archive/unread", Low, "An archive of a kind that is not read",
        "What lies in it was not looked at. Attackers choose kinds of archives that scanners cannot \
         open.",
        "Unpack it with care, and scan what comes out.",
        [693], ["AML.T0015", "LLM03:2025"];
    ARCHIVE_PART = "archive/part", Low, "A part of an archive that was cut",
        "What is cut into parts passes scanners that look at one file at a time.",
        "Join the parts, and scan what comes out.",
        [693], ["AML.T0015", "LLM03:2025"];
    BLOSC_BROKEN = "blosc/broken", Medium, "A packed chunk of an array is broken",
        "A header, or a packed stream, is damaged.",
        "Get the array again from its source.",
        [20], ["LLM03:2025"];
    SEVENZ_BROKEN = "sevenz/broken", Medium, "A 7z archive is broken",
        "A header or a packed stream is damaged. What could be unpacked was looked at.",
        "Get the archive again from its source.",
        [20], ["LLM03:2025"];
    OCI_DIGEST = "oci/digest", High, "A blob is not what its name says",
        "In an image layout the name of a blob is the digest of its bytes, and this one has another: \
         it was changed or damaged after it was stored.",
        "Get the image again from its registry, by digest.",
        [345, 354], ["AML.T0010", "LLM03:2025"];
    OCI_FOREIGN = "oci/foreign-layer", Medium, "A layer of an image lies somewhere else",
        "The manifest names a layer that is fetched from another place when the image is used, and \
         was not looked at.",
        "Fetch the layer, check its digest, and scan it.",
        [494], ["AML.T0010", "LLM03:2025"];
    TAR_BROKEN = "tar/broken", Medium, "A tar archive is broken",
        "A header is damaged or missing. What comes before was looked at; programs that search for \
         the next header read what comes after as well.",
        "Get the archive again from its source.",
        [20], ["LLM03:2025"];
    PACKED_BROKEN = "packed/broken", Medium, "A packed file cannot be unpacked to its end",
        "The packed stream is damaged or cut. What comes before was looked at.",
        "Get the file again from its source.",
        [20], ["LLM03:2025"];
    PACKED_TRAILING = "packed/trailing", Low, "Something follows a packed stream",
        "Bytes follow the end of the packed stream; some programs read them.",
        "Look at the findings inside.",
        [436], ["LLM03:2025"];
}
