//! Rules about files that hold tensors.

use super::rules;

rules! {
    TORCH_STORAGE_SIZE = "torch/storage-size", High, "A tensor's storage has another size than the model says",
        "The pickle of a PyTorch archive gives a storage more or fewer bytes than its member has. \
         Loaders that trust one of them read or write other memory (CVE-2026-24747).",
        "Do not load the file.",
        [125, 787], ["LLM03:2025"];
    TORCH_VIEW = "torch/view", High, "A tensor reaches beyond its storage",
        "Its offset, sizes and strides lead to elements that its storage does not have. PyTorch fills \
         them with whatever is in memory; other readers read outside of the storage.",
        "Do not load the file.",
        [125, 908], ["LLM03:2025"];
    TORCH_STORAGE_MISSING = "torch/storage-missing", Medium, "A tensor's storage is not in the archive",
        "The pickle of a PyTorch archive refers to a storage that is not there.",
        "Get the file again from its source.",
        [20], ["LLM03:2025"];
    TORCH_STRAY = "torch/stray-storage", Low, "A PyTorch archive has a storage that no tensor uses",
        "Bytes lie in the archive that the model does not refer to. Something else may be carried \
         there.",
        "Find out what wrote the archive.",
        [20], ["LLM03:2025"];
    SAFETENSORS_HEADER = "safetensors/header-size", High, "A safetensors header is larger than loaders take",
        "The header says that it is larger than the 100 MB that the reference reads; others \
         allocate what it says.",
        "Do not load the file.",
        [770], ["AML.T0029", "LLM10:2025"];
    SAFETENSORS_BROKEN = "safetensors/broken", Medium, "A safetensors header is broken",
        "The header is not what the format asks for, or loaders read it differently.",
        "Get the file again from its source.",
        [20, 436], ["LLM03:2025"];
    SAFETENSORS_METADATA = "safetensors/metadata", Low, "Safetensors metadata is unusually large",
        "Metadata is for short texts. Something else may be carried in it.",
        "Look at what it says.",
        [770], ["LLM03:2025"];
    SAFETENSORS_TENSOR = "safetensors/tensor", High, "A tensor lies about its size or place",
        "Shape, type and place of a tensor do not fit together. A loader that trusts them reads \
         other memory.",
        "Do not load the file.",
        [125, 190], ["LLM03:2025"];
    SAFETENSORS_LAYOUT = "safetensors/layout", Medium, "Tensors do not cover the file exactly",
        "Bytes belong to no tensor, or to two. Something else may be carried there, or programs \
         read different models from one file.",
        "Get the file again from its source.",
        [436, 20], ["AML.T0015", "LLM03:2025"];
    SAFETENSORS_INDEX = "safetensors/index", High, "An index of tensors names files outside of its folder",
        "The index says in which file each tensor lies, and one of these names leads out of the \
         folder of the model. A loader reads another file of the machine as a model.",
        "Do not load the model.",
        [22, 73], ["LLM03:2025"];
    SAFETENSORS_DEPTH = "safetensors/depth", High, "A safetensors header is nested deeper than any",
        "A header has three levels. One of hundreds is made for readers that call themselves for \
         each level, and overflow their stack.",
        "Do not load the file.",
        [674], ["AML.T0029", "LLM10:2025"];
    METADATA_PROGRAM = "metadata/program", Medium, "Metadata of a model is a program",
        "Metadata is for short texts, and no loader runs it. Programs that evaluate it all the same \
         have been written; what this one would do is told by findings of its own.",
        "Find out why it is there, and do not evaluate metadata.",
        [95], ["AML.T0011", "LLM03:2025"];
    METADATA_KEY = "metadata/inner-key", Medium, "Metadata of a model has a key of Python's or JavaScript's own",
        "No loader looks for such a key. A program that copies the metadata to an object replaces \
         what the language keeps under that name.",
        "Find out what wrote the file.",
        [915, 1321], ["LLM03:2025"];
    SAFETENSORS_NAME = "safetensors/name", High, "A tensor has a name that is none",
        "The name holds control characters, or leads out of a folder. Programs write tensors to \
         files, or to a terminal, under their names.",
        "Find out what wrote the file.",
        [22, 117, 150], ["LLM03:2025"];
    GGUF_BROKEN = "gguf/broken", Medium, "A GGUF header is broken",
        "The header breaks off, or has values of a type that the format does not know.",
        "Get the file again from its source.",
        [20], ["LLM03:2025"];
    GGUF_COUNT = "gguf/count", High, "A GGUF header counts more than there is room for",
        "A count or length is larger than what is left of the file. Loaders that multiply and \
         allocate without looking write outside of their memory.",
        "Do not load the file.",
        [190, 787, 770], ["AML.T0029", "LLM03:2025"];
    GGUF_OVERFLOW = "gguf/overflow", High, "Sizes of GGUF tensors exceed 64 bits",
        "The product of a tensor's dimensions, or the sum of all sizes, is larger than a loader's \
         number. It wraps to a small one, and the loader writes outside of its memory.",
        "Do not load the file.",
        [190, 787], ["LLM03:2025"];
    GGUF_TENSOR = "gguf/tensor", High, "A GGUF tensor lies about its size or place",
        "Dimensions, type and place of a tensor do not fit together or into the file. A loader \
         that trusts them reads other memory.",
        "Do not load the file.",
        [125, 190], ["LLM03:2025"];
    GGUF_TYPE = "gguf/type", Medium, "A GGUF tensor has an unknown type",
        "How many bytes the tensor has cannot be told; what follows it cannot be checked.",
        "Scan it with a newer release if the type is new; else do not load the file.",
        [20], ["LLM03:2025"];
    GGUF_ALIGNMENT = "gguf/alignment", High, "A GGUF file has an impossible alignment",
        "Places of tensors are computed from the alignment. One that is no power of two makes \
         loaders compute places outside of the file.",
        "Do not load the file.",
        [190, 369], ["LLM03:2025"];
    GGUF_DUPLICATE = "gguf/duplicate", Medium, "A GGUF file names a key or tensor twice",
        "One program takes the first, another the last: they load different models from one file.",
        "Get the file again from its source.",
        [436], ["AML.T0015", "LLM03:2025"];
    ZARR_PICKLE = "zarr/pickle", Medium, "An array in Zarr is unpickled",
        "Whoever reads the array unpickles its chunks. What a chunk does is told by findings of its \
         own.",
        "Store texts and numbers by a codec that makes nothing else of them.",
        [502], ["AML.T0011", "LLM03:2025"];
    GGUF_NAME = "gguf/name", High, "A GGUF tensor has a name that is none",
        "The name holds control characters, or leads out of a folder. Programs write tensors to \
         files, or to a terminal, under their names.",
        "Find out what wrote the file.",
        [22, 117, 150], ["LLM03:2025"];
    GGUF_LAYOUT = "gguf/layout", Medium, "GGUF tensors do not cover the file exactly",
        "Bytes belong to no tensor, or to two. Something else may be carried there.",
        "Get the file again from its source.",
        [436, 20], ["LLM03:2025"];
    GGUF_TRAILING = "gguf/trailing", Medium, "Bytes follow the last GGUF tensor",
        "Loaders do not read what follows; it may be a file of another kind.",
        "Look at the findings inside.",
        [436], ["LLM03:2025"];
    GGML_OLD = "ggml/old", Low, "The model is in a format from before GGUF",
        "Programs that still read GGML, GGMF and GGJT files are old, and check little of what the \
         file says.",
        "Convert the model to GGUF with a program you trust.",
        [1104], ["LLM03:2025"];
    GGML_BROKEN = "ggml/broken", High, "An old GGML file lies about its sizes",
        "A length, a dimension or a type does not fit the file. Programs that read this format \
         check little and write outside of their memory.",
        "Do not load the file.",
        [190, 787], ["LLM03:2025"];
    NPY_HEADER = "npy/header", Medium, "The header of a NumPy array is broken",
        "The header is not the dictionary of three entries that NumPy writes.",
        "Get the file again from its source.",
        [20], ["LLM03:2025"];
    NPY_EXPRESSION = "npy/expression", High, "The header of a NumPy array is a program",
        "The header calls or computes something. Programs that evaluate it run that.",
        "Do not load the file.",
        [95, 94], ["AML.T0011", "LLM03:2025"];
    NPY_OBJECT = "npy/object", Low, "A NumPy array holds Python objects",
        "Objects are stored as a pickle, which `numpy.load(allow_pickle=True)` runs. What the \
         pickle does is told by findings of its own.",
        "Store arrays of numbers or texts, and load with `allow_pickle=False`.",
        [502], ["AML.T0011", "LLM03:2025", "ML06:2023"];
    NPY_SIZE = "npy/size", Medium, "A NumPy array has another size than its header says",
        "The shape and type make more or fewer bytes than the file has.",
        "Get the file again from its source.",
        [20, 125], ["LLM03:2025"];
    NPY_OVERFLOW = "npy/overflow", High, "The shape of a NumPy array exceeds 64 bits",
        "The product of the dimensions is larger than a loader's number. It wraps to a small one, \
         and the loader reads or writes outside of its memory.",
        "Do not load the file.",
        [190, 787], ["LLM03:2025"];
    MSGPACK_BROKEN = "msgpack/broken", Medium, "A MessagePack file is broken",
        "The file breaks off, or is nested deeper than loaders follow.",
        "Get the file again from its source.",
        [20, 674], ["LLM03:2025"];
    MSGPACK_DUPLICATE = "msgpack/duplicate", Medium, "A MessagePack file names a key twice",
        "One program takes the first, another the last: they load different models from one file.",
        "Get the file again from its source.",
        [436], ["AML.T0015", "LLM03:2025"];
    MSGPACK_ARRAY = "msgpack/array", Medium, "An array in a MessagePack file lies about itself",
        "Shape and type of an array make another number of bytes than it has, or its type holds \
         objects.",
        "Do not load the file.",
        [125, 190], ["LLM03:2025"];
    MSGPACK_EXTENSION = "msgpack/extension", Medium, "A MessagePack file has values of an unknown type",
        "A value of an extension type goes to code that the loader brings. Flax has three such \
         types; this is none of them.",
        "Find out what wrote the file, and what its loader does with this type.",
        [502], ["LLM03:2025"];
    ORBAX_HANDLER = "orbax/handler", High, "A checkpoint names code that restores it",
        "The metadata of an Orbax checkpoint names a class or function outside of Orbax. A program \
         that looks it up by its name runs it.",
        "Do not restore the checkpoint until you have read what is named.",
        [470, 502], ["AML.T0011", "LLM03:2025"];
    TORCH_LUA = "torch-lua/old", Low, "The model is in the format of Torch for Lua",
        "The format can carry functions as byte code, which its loader takes over as they are.",
        "Convert the model with a program you trust.",
        [1104], ["LLM03:2025"];
    TORCH_LUA_FUNCTION = "torch-lua/function", High, "A Torch file carries functions",
        "A function is stored as Lua byte code. Whoever loads the file runs it when an object of \
         the model calls it; byte code is not checked by Lua.",
        "Do not load the file.",
        [502, 94], ["AML.T0011", "LLM03:2025", "ML06:2023"];
    TORCH_LUA_BROKEN = "torch-lua/broken", Medium, "A Torch file is broken",
        "The file breaks off, or a length does not fit it.",
        "Get the file again from its source.",
        [20], ["LLM03:2025"];
    LLAMAFILE = "llamafile/program", Medium, "A model and the program that runs it are one file",
        "The file is an executable with an archive behind it. The model in it was looked at; the \
         program was not.",
        "Take the model out of it, or check that the program is the one its makers publish.",
        [829], ["AML.T0011", "LLM03:2025"];
}
