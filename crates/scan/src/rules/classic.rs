//! Rules about trees, classic models, and model packages.

use super::rules;

rules! {
    R_PROMISE = "r/promise", High, "An R object evaluates an expression when it is looked at",
        "R writes promises into environments only. One elsewhere was put there by hand, and its \
         expression runs as soon as somebody asks for the object (CVE-2024-27322).",
        "Do not load the file.",
        [502], ["AML.T0011", "LLM03:2025", "ML06:2023"];
    R_BYTECODE = "r/byte-code", High, "An R object holds byte code of no function",
        "Byte code is taken as it is and runs when the object is evaluated. R writes it as the body \
         of functions.",
        "Do not load the file.",
        [502], ["AML.T0011", "LLM03:2025", "ML06:2023"];
    R_CALL = "r/call", Medium, "R code in a data file calls what models have no use for",
        "A function or expression in the file runs commands, loads code, or speaks to the network. \
         How bad that is depends on when R evaluates it.",
        "Read the code that the finding names before you load the file.",
        [502, 78], ["AML.T0011", "LLM03:2025", "ML06:2023"];
    R_STARTUP = "r/startup", High, "An R workspace has a function that R calls by itself",
        "R loads `.RData` of the folder that it is started in, and calls `.First` and `.Last`.",
        "Do not load the workspace.",
        [502, 829], ["AML.T0011", "LLM03:2025"];
    R_BROKEN = "r/broken", Medium, "A file of R is broken",
        "The file breaks off, has objects of a type that R does not read, or goes on behind its end.",
        "Get the file again from its source.",
        [20], ["LLM03:2025"];
    SKOPS_TYPE = "skops/type", Medium, "A skops model imports something that skops does not trust by itself",
        "Loading imports each class and function that the schema names, and makes objects of it. \
         skops asks whoever loads; an answer of `trusted=True` is no check.",
        "Trust the names in the finding only if you know what they do.",
        [502, 470], ["AML.T0011", "LLM03:2025", "ML06:2023"];
    SKOPS_LOADER = "skops/loader", Medium, "A skops schema names a loader that there is not",
        "Versions of skops differ in what they do with a loader that they do not know.",
        "Find out what wrote the file.",
        [20], ["LLM03:2025"];
    SKOPS_MISMATCH = "skops/mismatch", High, "A skops schema says one thing and loads another",
        "The type that trust is asked for is not the one that is loaded. skops before 0.12 let such \
         nodes pass.",
        "Do not load the file.",
        [351, 502, 436], ["AML.T0011", "LLM03:2025", "ML06:2023"];
    SKOPS_FALLBACK = "skops/fallback", Medium, "A file called like a skops model is none",
        "`Card.get_model` of skops before 0.13 opens it with joblib, which runs the pickle in it, \
         without asking.",
        "Load it as what it is, after looking at the other findings.",
        [502], ["AML.T0011", "LLM03:2025"];
    XGBOOST_BROKEN = "xgboost/broken", Medium, "An XGBoost model is broken",
        "The file breaks off, is nested too deep, or names a key twice.",
        "Get the file again from its source.",
        [20, 674], ["LLM03:2025"];
    XGBOOST_TREE = "xgboost/tree", Medium, "A tree of an XGBoost model has lists of different lengths",
        "Each list of a tree has one element a node. A loader that trusts one of them reads beyond \
         another.",
        "Do not load the file.",
        [125], ["LLM03:2025"];
    XGBOOST_NODE = "xgboost/node", High, "A tree of an XGBoost model leads out of itself",
        "A node names a child, parent or feature that is not there. Loaders take it for an index, and \
         read other memory with it.",
        "Do not load the file.",
        [125, 129], ["LLM03:2025"];
    LIGHTGBM_BROKEN = "lightgbm/broken", Medium, "A LightGBM model is broken",
        "A number is none, or a line is no text.",
        "Get the file again from its source.",
        [20], ["LLM03:2025"];
    LIGHTGBM_LINE = "lightgbm/line", Low, "A LightGBM model has a line that is none of a model",
        "Loaders skip what they do not know. Something else may be carried there.",
        "Look at what the line says.",
        [20], ["LLM03:2025"];
    LIGHTGBM_TREE = "lightgbm/tree", Medium, "A tree of a LightGBM model has lists of different lengths",
        "Lists of a tree have one value a leaf, or one fewer. A loader that trusts the number of \
         leaves reads beyond them.",
        "Do not load the file.",
        [125], ["LLM03:2025"];
    CATBOOST_BROKEN = "catboost/broken", Medium, "A CatBoost model is broken",
        "A part of the model lies outside of the file, or has an impossible layout.",
        "Get the file again from its source.",
        [20, 125], ["LLM03:2025"];
    CRFSUITE_BROKEN = "crfsuite/broken", Medium, "A model of crfsuite is broken",
        "A place or a count in the model leads out of it. The loader follows them as they are, and \
         reads beyond the model.",
        "Do not load the file.",
        [125], ["LLM03:2025"];
    EMBEDDINGS_BROKEN = "embeddings/broken", Medium, "A file of vectors is broken",
        "The file says that it has more vectors than it has. Loaders take memory for all of them \
         first.",
        "Get the file again from its source.",
        [789, 125], ["LLM03:2025", "LLM10:2025"];
    DLIB_BROKEN = "dlib/broken", Medium, "A shape predictor of dlib is broken",
        "A list says that it has more than the file. The loader takes memory for all of it first.",
        "Get the file again from its source.",
        [789, 20], ["LLM03:2025", "LLM10:2025"];
    MATLAB_BROKEN = "matlab/broken", Medium, "A file of MATLAB is broken",
        "The file breaks off, or an element of it leads out of what it lies in.",
        "Get the file again from its source.",
        [20, 125], ["LLM03:2025"];
    MATLAB_FUNCTION = "matlab/function", Low, "A file of MATLAB holds a function",
        "Loading the file runs nothing. The function runs when somebody calls the variable.",
        "Read what the function does before you call it.",
        [502], ["AML.T0011", "LLM03:2025"];
    MATLAB_OBJECT = "matlab/object", Low, "A file of MATLAB holds an object",
        "Loading the file calls methods of the class of the object, which has to be on the path of \
         whoever loads it.",
        "Load the file where nothing but what you know is on the path.",
        [502], ["AML.T0011", "LLM03:2025"];
    MATLAB_JAVA = "matlab/java-object", High, "A file of MATLAB holds serialized objects of Java",
        "MATLAB has Java read the objects back when the file is loaded. Chains of classes that are on \
         its path can be made to run commands by that.",
        "Do not load the file.",
        [502], ["AML.T0011", "LLM03:2025"];
    CAFFE_BROKEN = "caffe/broken", Medium, "A net of Caffe is broken",
        "The file is not what the format asks for; what comes behind the fault was not looked at.",
        "Get the file again from its source.",
        [20], ["LLM03:2025"];
    CAFFE_PYTHON = "caffe/python-layer", Medium, "A net of Caffe runs Python",
        "Caffe imports the module that the layer names, and calls the class with the text that it \
         holds. Both have to be on the path of whoever loads the net.",
        "Do not load the net unless you know that module.",
        [94, 829], ["AML.T0011.000", "LLM03:2025"];
    MAR_PATH = "mar/path", High, "A model archive names files outside of itself",
        "TorchServe unpacks the archive and takes handler, model and requirements from where the \
         manifest says. A name that leads out makes it write or run another file \
         (CVE-2023-48299).",
        "Do not register the archive.",
        [22, 73], ["AML.T0011", "LLM03:2025"];
    MAR_MISSING = "mar/missing", Medium, "A model archive lacks a file that its manifest names",
        "The file is taken from elsewhere when the archive is served, or serving fails.",
        "Get the archive again from its source.",
        [20], ["LLM03:2025"];
    MAR_MANIFEST = "mar/manifest", Medium, "The manifest of a model archive is broken",
        "The manifest cannot be read, or says things twice: what is served depends on who reads it.",
        "Get the archive again from its source.",
        [20, 436], ["LLM03:2025"];
    NEMO_PATH = "nemo/path", High, "A NeMo model reaches out of its archive",
        "A name or link in the archive leads to somewhere else. NeMo unpacks the archive before \
         anything is checked (CVE-2025-23250, CVE-2025-23360).",
        "Do not load the model.",
        [22, 59], ["AML.T0011", "LLM03:2025"];
    NEMO_CHECKPOINT = "nemo/checkpoint", Info, "A NeMo model brings a checkpoint that is unpickled",
        "NeMo restores weights from a PyTorch checkpoint (CVE-2025-23249, CVE-2025-33253 and \
         CVE-2026-24157 are about that). What the checkpoint does is told by findings of its own.",
        "Use a release of NeMo that loads weights only.",
        [502], ["AML.T0011", "LLM03:2025"];
}
