// The networks of a run: those that segment, and those that are trained.

// The networks of --segmenter pixelcnn: the user's, or those that come with the pipeline
def modelsOf(options) {
    def embedded = ['whole-cell', 'nuclear'].collect { name -> "${projectDir}/assets/networks/${name}.keras" }
    return (options.models ?: embedded).collect { name -> file(name, glob: false) }
}

// The network of --segmenter nuclei
def nucleiNetwork() {
    return [file("${projectDir}/assets/networks/unet/nuclei.keras")]
}

// The networks to train, as [meta, stores, labels]: every architecture and seed, by compartment
def networksOf(options, examples) {
    def compartments = options.compartment == 'both' ? ['whole-cell', 'nuclear'] : [options.compartment]
    return [compartments, options.architectures, options.seeds].combinations().collect { compartment, architecture, seed ->
        def meta = [
            id: "${compartment}-${architecture}-seed${seed}".toString(),
            compartment: compartment,
            architecture: architecture,
            seed: seed,
            splits: examples.collect { example -> example[0].split },
        ]
        [meta, examples.collect { example -> example[1] }, examples.collect { example -> labelsOf(example[2], compartment) }]
    }
}

// A generated tissue has labels of both compartments
def labelsOf(labels, compartment) {
    def wanted = compartment == 'nuclear' ? 'nucleus_truth' : 'cell_truth'
    return labels instanceof List ? labels.find { path -> path.name.startsWith(wanted) } : labels
}
