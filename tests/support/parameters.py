"""Parameters of runs, as calls.nf is given them."""

# As Nextflow 26 hands them on: strings, whatever their type
SEGMENT = {"mode": "segment", "segmenter": "pixelcnn", "compartment": "both"}
SEGMENT |= {"precision": "float32", "image_mpp": "0.5", "bundle_max_mb": "500"}
TRAIN = {"mode": "train", "segmenter": "mesmer", "compartment": "nuclear"}
TRAIN |= {"architectures": "compact", "held_out": "0.2"}
