//! Rules about files that hold tensors.

use super::rules;

rules! {
    TORCH_STORAGE_SIZE = "torch/storage-size", High, "A tensor's storage has another size than the model says",
        "The pickle of a PyTorch archive gives a storage more or fewer bytes than its member has. \
         Loaders that trust one of them read or write other memory (CVE-2026-24747).",
        "Do not load the file.",
        [125, 787], ["LLM03:2025"];
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
}
