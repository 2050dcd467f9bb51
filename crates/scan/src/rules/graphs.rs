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
    ONNX_EXTERNAL_KEY = "onnx/external-key", Medium, "External weights of an ONNX model set what they have no business to",
        "Place, offset, length and checksum are all that a tensor says of values elsewhere. Before \
         onnx 1.21 every other key became an attribute of an object of the loader, whatever its name \
         (CVE-2026-34445).",
        "Do not load the model with an older version; find out what wrote it.",
        [915, 400], ["AML.T0018", "LLM03:2025"];
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
    TFJS_PATH = "tfjs/weights-path", High, "Weights of a TensorFlow.js model are outside of its folder",
        "The names of files with weights are joined to the folder of the model. A name that leads out \
         makes whoever loads or converts the model read other files.",
        "Do not load the model.",
        [22, 73], ["AML.T0018", "LLM03:2025"];
    TFJS_SIZE = "tfjs/weights-size", Medium, "A TensorFlow.js model has less weights than it says",
        "Files with weights are shorter than shapes and types of the weights ask for.",
        "Get the model again from its source.",
        [125, 20], ["LLM03:2025"];
    TENSORFLOW_PATH = "tensorflow/path", High, "A graph names a file outside of its folder",
        "A file that the model reads or writes lies outside of the model's folder.",
        "Do not load the model.",
        [22, 73], ["AML.T0018", "LLM03:2025"];
    TENSORFLOW_CHECKPOINT = "tensorflow/checkpoint", Medium, "The index of a checkpoint is broken",
        "Names and places of values in the index do not fit together, or lie behind the end of the \
         files that hold them.",
        "Get the checkpoint again from its source.",
        [125, 20], ["LLM03:2025"];
    MEDIAPIPE_BROKEN = "mediapipe/broken", Medium, "A graph of calculators is broken",
        "The file is not what the format asks for; what comes behind the fault was not looked at.",
        "Get the file again from its source.",
        [20], ["LLM03:2025"];
    MEDIAPIPE_FILES = "mediapipe/files", Medium, "A graph of calculators reads or writes files",
        "A calculator of a MediaPipe graph reads or writes files of the machine that runs it. Which, the \
         program may say, or the options of the calculator.",
        "Find out which files, and why.",
        [73], ["LLM03:2025"];
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
    TFLITE_INDEX = "tflite/tensor-index", High, "A TensorFlow Lite model names a tensor that it does not have",
        "A graph or an operator refers to a tensor by a number that is out of bounds. A runtime that \
         trusts it reads and writes other memory.",
        "Do not load the file.",
        [129, 125, 787], ["LLM03:2025"];
    TFLITE_CUSTOM_OPERATOR = "tflite/custom-operator", Medium, "A TensorFlow Lite model needs operators from elsewhere",
        "The model has operators that are not of the runtime. To run it, somebody has to load code \
         for them.",
        "Find out which code that is, and whether you trust it.",
        [829], ["AML.T0010", "LLM03:2025"];
    COREML_BROKEN = "coreml/broken", Medium, "A Core ML model is broken",
        "The file is not what the format asks for; what comes behind the fault was not looked at.",
        "Get the file again from its source.",
        [20], ["LLM03:2025"];
    COREML_CUSTOM = "coreml/custom-code", Medium, "A Core ML model calls code of the app",
        "A layer, or the whole model, is a class that the app has to bring along. What it does is \
         not in the file.",
        "Find out which code that is, and whether you trust it.",
        [829], ["AML.T0010", "LLM03:2025"];
    COREML_PATH = "coreml/path", High, "A Core ML model names a file outside of its folder",
        "A linked model, or a file of weights, lies outside of the model's folder. Whoever loads the \
         model reads that file.",
        "Do not load the model.",
        [22, 73], ["AML.T0018", "LLM03:2025"];
    PADDLE_BROKEN = "paddle/broken", Medium, "A PaddlePaddle model is broken",
        "The file is not what the format asks for; what comes behind the fault was not looked at.",
        "Get the file again from its source.",
        [20], ["LLM03:2025"];
    PADDLE_OPERATOR = "paddle/operator", High, "A PaddlePaddle program reaches beyond its tensors",
        "An operator of the program reads or writes files, opens connections, or calls functions of \
         Python.",
        "Do not run the model unless you know why it does that.",
        [829, 73], ["AML.T0011.000", "AML.T0018", "LLM03:2025"];
    FEAST_BROKEN = "feast/broken", Medium, "A Feast registry is broken",
        "The file is not what the format asks for; what comes behind the fault was not looked at.",
        "Get the file again from its source.",
        [20], ["LLM03:2025"];
    FEAST_FUNCTION = "feast/function", Medium, "A Feast registry carries a function as a pickle",
        "Whoever loads the registry unpickles the function, and a pickle runs what it says.",
        "Load registries only from where you would run programs from.",
        [502], ["AML.T0011.000", "LLM03:2025"];
    EXECUTORCH_BROKEN = "executorch/broken", Medium, "An ExecuTorch program is broken",
        "Tables or segments of the program lie outside of the file, or are none. Runtimes that do not \
         verify a program first read other memory.",
        "Get the file again from its source.",
        [125, 20], ["LLM03:2025"];
    EXECUTORCH_CUSTOM = "executorch/custom-operator", Medium, "An ExecuTorch program needs code from elsewhere",
        "The program has operators that are not of the runtime, or a part that is compiled for other \
         hardware. To run it, code for them has to be in the app.",
        "Find out which code that is, and whether you trust it.",
        [829], ["AML.T0010", "LLM03:2025"];
    TENSORRT_LIBRARY = "tensorrt/embedded-library", High, "A TensorRT engine carries machine code for the host",
        "A library or program for the host's processor lies in the engine. Engines that were built \
         with plugins or a runtime in them run it when they are loaded.",
        "Build the engine again from a model that you trust.",
        [829, 506], ["AML.T0011.000", "LLM03:2025"];
    MXNET_BROKEN = "mxnet/broken", Medium, "An MXNet model is broken",
        "The file is not what the format asks for; what comes behind the fault was not looked at.",
        "Get the file again from its source.",
        [20], ["LLM03:2025"];
    MXNET_NAME = "mxnet/operator-name", High, "A name in an MXNet graph keeps the loader busy",
        "A name of an operator or node is of a kind that keeps a regular expression of the loader \
         busy for a long time.",
        "Do not load the file.",
        [1333, 400], ["AML.T0029", "LLM10:2025"];
    MXNET_CUSTOM = "mxnet/custom-operator", Medium, "An MXNet graph calls a Python program",
        "A node is an operator that a Python program registers. What it does is not in the file.",
        "Find out which program that is, and whether you trust it.",
        [829], ["AML.T0010", "LLM03:2025"];
    CNTK_BROKEN = "cntk/broken", Medium, "A CNTK model is broken",
        "The file is not what the format asks for; what comes behind the fault was not looked at.",
        "Get the file again from its source.",
        [20], ["LLM03:2025"];
    CNTK_FUNCTION = "cntk/user-function", High, "A CNTK model imports a Python module",
        "A function of the model is one of a Python module that the model names. The loader imports \
         that module, and calls what the model says.",
        "Do not load the model unless you know that module.",
        [470, 829], ["AML.T0011.000", "LLM03:2025"];
    RKNN_BROKEN = "rknn/broken", Medium, "An RKNN model is broken",
        "The header says something that the file is not.",
        "Get the file again from its source.",
        [20], ["LLM03:2025"];
    HDF5_BROKEN = "hdf/broken", Medium, "An HDF5 file is broken",
        "A structure of the file is not what the format asks for; what it leads to was not looked at.",
        "Get the file again from its source.",
        [20, 125], ["LLM03:2025"];
    HDF5_EXTERNAL = "hdf/external", Medium, "An HDF5 file takes values from another file",
        "A link, a dataset with external storage or a virtual dataset names another file, which is \
         read when this one is. In the weights of a model that gives away what the file holds \
         (CVE-2026-1669).",
        "Do not load it unless you know the other file. Weights of a model belong into one file.",
        [73, 200, 610], ["AML.T0024", "LLM03:2025"];
    HDF5_LINK = "hdf/user-link", Medium, "An HDF5 file has a link of a kind of its own",
        "A program has to be registered that says what such a link means.",
        "Find out which program that is.",
        [829], ["LLM03:2025"];
    HDF5_FILTER = "hdf/filter", Medium, "A dataset needs a plugin to be read",
        "A dataset is packed by a filter that the library does not have. It loads a library of machine \
         code for it, from wherever its search path leads.",
        "Find out which library that is, and whether you trust it.",
        [829, 427], ["AML.T0010", "LLM03:2025"];
    HDF5_USER_BLOCK = "hdf/user-block", Low, "Something stands before an HDF5 file",
        "Readers of HDF5 skip a block at the beginning. Other programs take it for the file.",
        "Look at what it holds.",
        [436], ["LLM03:2025"];
    HDF5_UNUSED = "hdf/unused", Low, "Bytes of an HDF5 file belong to nothing",
        "No structure of the file leads to these bytes. They are left from what was deleted or \
         replaced, or carry something else.",
        "Write the file anew (`h5repack`), which leaves them out.",
        [212, 436], ["LLM03:2025"];
    KERAS_BROKEN = "keras/broken", Medium, "The configuration of a Keras model is broken",
        "The text that describes the model cannot be read.",
        "Get the file again from its source.",
        [20], ["LLM03:2025"];
    KERAS_LAMBDA = "keras/lambda", High, "A Keras model carries code",
        "A Lambda layer holds compiled Python code, or names a function that is not of Keras. Loaders \
         run such code: always when the model is an HDF5 file, and where the safe mode is off or \
         passed by otherwise.",
        "Do not load the model. Replace the layer by a class in a package that you can review.",
        [94, 502], ["AML.T0011.000", "AML.T0018", "LLM03:2025"];
    KERAS_MODULE = "keras/module", Medium, "A Keras model names a class or function that is not of Keras",
        "The configuration says from which module a class or function comes. Keras before 3.9 imports \
         that module and calls what is named, in safe mode too (CVE-2025-1550).",
        "Load it only if you know that module, and with a current version of Keras.",
        [94, 470, 502], ["AML.T0011.000", "AML.T0018", "LLM03:2025"];
    KERAS_GADGET = "keras/gadget", High, "A Keras model calls what no model is made of",
        "The configuration names a function of Keras that reads, writes, fetches or loads. A model of \
         layers has no use for it; an attack that needs no code of its own does (CVE-2025-8747).",
        "Do not load the model.",
        [94, 494, 502], ["AML.T0011.000", "AML.T0018", "LLM03:2025"];
    KERAS_UNSAFE = "keras/unsafe-switch", Critical, "A Keras model switches the safe mode off",
        "The configuration calls the function that allows code in models, so that the rest of it may \
         carry code (CVE-2025-9906).",
        "Do not load the model.",
        [693, 502], ["AML.T0011.000", "AML.T0018", "LLM03:2025"];
    KERAS_TORCH = "keras/torch-module", High, "A Keras model carries a pickled PyTorch module",
        "A layer holds a whole module of PyTorch as a pickle. Versions before 3.11.3 load it in safe \
         mode too (CVE-2025-49655); what it calls is told besides.",
        "Do not load the model. Rebuild the layer from code and weights.",
        [502], ["AML.T0011.000", "AML.T0018", "LLM03:2025"];
    KERAS_VOCABULARY = "keras/vocabulary-path", High, "A Keras model reads a file or an address for its words",
        "A lookup layer names a file as its vocabulary. Loading reads it, wherever it is, and the \
         model gives it away (CVE-2025-12058).",
        "Do not load the model. A vocabulary belongs into the archive.",
        [73, 502, 918], ["AML.T0024", "LLM03:2025"];
    KERAS_CUSTOM = "keras/custom-object", Low, "A Keras model needs a class of its own",
        "The model holds an object that some package registers. To load it, that package has to be \
         imported.",
        "Review that package as you would review the model.",
        [829], ["LLM03:2025"];
    KERAS_STRAY = "keras/stray-member", Low, "A Keras archive holds a file that is no part of it",
        "Keras writes a configuration, metadata, weights and assets. Something else may be carried \
         here.",
        "Find out what wrote the archive.",
        [20], ["LLM03:2025"];
    XML_ENTITY = "xml/external-entity", High, "A document has an entity that lies elsewhere",
        "A parser that puts entities in reads a file or an address that the document names, and hands \
         it to whoever sees the result (XXE).",
        "Do not parse it with a parser that resolves entities.",
        [611], ["LLM03:2025"];
    XML_EXPANSION = "xml/entity-expansion", High, "Entities of a document grow beyond all bounds",
        "Entities hold each other, so that a parser which puts them in runs out of memory (billion \
         laughs).",
        "Do not parse it with a parser that resolves entities.",
        [776], ["AML.T0029", "LLM10:2025"];
    XML_DOCTYPE = "xml/document-type", Low, "A document declares its own type",
        "The document has entities of its own, or its rules lie elsewhere. Models have no use for \
         either.",
        "Find out what wrote the document.",
        [611], ["LLM03:2025"];
    XML_INCLUDE = "xml/include", Medium, "A document takes in another file",
        "XInclude or a style sheet names a file or an address that a parser reads.",
        "Do not parse it with a parser that follows it.",
        [829, 611], ["LLM03:2025"];
    OPENVINO_BROKEN = "openvino/broken", Medium, "An OpenVINO graph is broken",
        "The document is not what the format asks for; what comes behind the fault was not looked at.",
        "Get the file again from its source.",
        [20], ["LLM03:2025"];
    OPENVINO_LIBRARY = "openvino/library", High, "An OpenVINO graph names a library",
        "An attribute of the graph is the file name of a library of machine code. A plugin that loads \
         it runs it.",
        "Do not load the model.",
        [829, 114], ["AML.T0011.000", "LLM03:2025"];
    OPENVINO_CUSTOM = "openvino/custom-layer", Medium, "An OpenVINO graph needs operators from elsewhere",
        "Layers of the graph are of no set of operators that the runtime has. To run it, somebody has \
         to load a library of machine code.",
        "Find out which library that is, and whether you trust it.",
        [829], ["AML.T0010", "LLM03:2025"];
    OPENVINO_TENSOR = "openvino/tensor-size", High, "A constant of an OpenVINO graph lies about its size",
        "Shape and type of a constant make another number of bytes than it has. A runtime that trusts \
         them reads other memory.",
        "Do not load the file.",
        [125, 190], ["LLM03:2025"];
    OPENVINO_WEIGHTS = "openvino/weights", Medium, "The weights of an OpenVINO graph do not fit",
        "The file of weights beside the graph is shorter than what the graph reads, or a link.",
        "Get graph and weights again from their source.",
        [125, 59], ["LLM03:2025"];
    PMML_BROKEN = "pmml/broken", Medium, "A PMML model is broken",
        "The document is not what the format asks for; what comes behind the fault was not looked at.",
        "Get the file again from its source.",
        [20], ["LLM03:2025"];
    PMML_EXTENSION = "pmml/extension", Medium, "An extension of a PMML model holds a program",
        "Extensions are for notes of the tool that wrote the model. This one holds what looks like \
         commands or a script.",
        "Look at what it says; do not let a tool run it.",
        [94], ["AML.T0018", "LLM03:2025"];
    PMML_FUNCTION = "pmml/function", Medium, "A PMML model applies a function from elsewhere",
        "The name of the function is that of a class, which engines in Java load and call.",
        "Find out which class that is, and whether you trust it.",
        [470, 829], ["AML.T0010", "LLM03:2025"];
    PMML_EXTERNAL = "pmml/external-table", Medium, "A PMML model reads a table from elsewhere",
        "A table of the model is named by where it lies, and not part of the document.",
        "Find out where the table is, and whether you trust it.",
        [829], ["LLM03:2025"];
}
