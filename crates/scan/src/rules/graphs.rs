//! Rules about computation graphs.

use super::rules;

rules! {
    UNKNOWN_FIELD = "graph/unknown-field", Low, "A graph has fields that nobody knows",
        "A message holds a field that its format does not have. Readers leave it out, so that \
         anything may be carried there.",
        "Find out what wrote the file.",
        [20, 912], ["LLM03:2025"];
    ONNX_BROKEN = "onnx/broken", Medium, "An ONNX model is broken",
        "The file is not what the format asks for; what comes behind the fault was not looked at.",
        "Get the file again from its source.",
        [20], ["LLM03:2025"];
    ONNX_TENSOR = "onnx/tensor-size", High, "A tensor of an ONNX model lies about its size",
        "Dimensions and type of a tensor make another number of bytes than it has, or a number that \
         does not exist. A runtime that trusts them reads other memory.",
        "Do not load the file.",
        [125, 190], ["LLM03:2025"];
    ONNX_EXTERNAL_PATH = "onnx/external-path", High, "An ONNX model reads a file outside of its folder",
        "Weights of the model are in a file whose name leads out of the model's folder, or through a \
         link. Whoever loads the model reads that file, and whoever saves it writes it.",
        "Do not load the model. Weights belong beside it, in files that are no links.",
        [22, 23, 36, 59], ["AML.T0018", "LLM03:2025"];
    ONNX_EXTERNAL_DATA = "onnx/external-data", Medium, "External weights of an ONNX model do not fit",
        "Place and length of weights in another file do not fit the tensor, or lie behind the end of \
         that file.",
        "Get model and weights again from their source.",
        [125, 20], ["LLM03:2025"];
    ONNX_CUSTOM_OPERATOR = "onnx/custom-operator", Medium, "An ONNX model needs operators from elsewhere",
        "Operators of the model are of a domain that no runtime brings along. To run it, somebody \
         has to load a library of machine code.",
        "Find out which library that is, and whether you trust it.",
        [829], ["AML.T0010", "LLM03:2025"];
    ONNX_PYTHON_OPERATOR = "onnx/python-operator", High, "An ONNX model runs Python",
        "An operator of the model calls a function of a Python module that the model names.",
        "Do not run the model unless you know that module.",
        [94, 829], ["AML.T0011.000", "LLM03:2025"];
    TENSORFLOW_BROKEN = "tensorflow/broken", Medium, "A TensorFlow graph is broken",
        "The file is not what the format asks for; what comes behind the fault was not looked at.",
        "Get the file again from its source.",
        [20], ["LLM03:2025"];
    TENSORFLOW_OPERATOR = "tensorflow/operator", High, "A graph reaches beyond its tensors",
        "An operator of the graph, or of a function in its library, reads or writes files, opens \
         connections, or calls programs, when the model is run or already when it is loaded.",
        "Do not run the model unless you know why it does that.",
        [829, 73], ["AML.T0011.000", "AML.T0018", "LLM03:2025"];
    TENSORFLOW_PATH = "tensorflow/path", High, "A graph names a file outside of its folder",
        "A file that the model reads or writes lies outside of the model's folder.",
        "Do not load the model.",
        [22, 73], ["AML.T0018", "LLM03:2025"];
    TENSORFLOW_LAMBDA = "tensorflow/lambda", High, "A saved Keras model carries a program",
        "The metadata of the model holds a Lambda layer with a Python program. Keras runs it when the \
         model is loaded.",
        "Do not load the model. Layers belong into a package that can be reviewed.",
        [94, 502], ["AML.T0011.000", "AML.T0018", "LLM03:2025"];
    TENSORFLOW_CHECKPOINT = "tensorflow/checkpoint", Medium, "The index of a checkpoint is broken",
        "Names and places of values in the index do not fit together, or lie behind the end of the \
         files that hold them.",
        "Get the checkpoint again from its source.",
        [125, 20], ["LLM03:2025"];
    TFLITE_BROKEN = "tflite/broken", Medium, "A TensorFlow Lite model is broken",
        "Tables of the model lie outside of the file, or are no such tables. Runtimes that do not \
         verify a model first read other memory.",
        "Get the file again from its source.",
        [125, 20], ["LLM03:2025"];
    TFLITE_TENSOR = "tflite/tensor-size", High, "A tensor of a TensorFlow Lite model lies about its size",
        "Dimensions and type of a tensor make more bytes than it has, or its values are not in the \
         file. A runtime that trusts them reads other memory.",
        "Do not load the file.",
        [125, 190], ["LLM03:2025"];
    TFLITE_CUSTOM_OPERATOR = "tflite/custom-operator", Medium, "A TensorFlow Lite model needs operators from elsewhere",
        "The model has operators that are not of the runtime. To run it, somebody has to load code \
         for them.",
        "Find out which code that is, and whether you trust it.",
        [829], ["AML.T0010", "LLM03:2025"];
}
