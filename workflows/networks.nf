// The networks of a run: those that segment, and those that are trained.

// The networks of --segmenter pixelcnn: the user's, or those that come with the pipeline
def modelsOf(options) {
    def embedded = ['whole-cell', 'nuclear'].collect { name -> "${projectDir}/assets/networks/${name}.keras" }
    return (options.models ?: embedded).collect { name -> file(name, glob: false) }
}

// What the card of --network FOLDER (or .zip) says of its tiles and compartments, or what is wrong with it. NETWORK
// checks the rest of it
def cardOf(name) {
    try {
        def text = cardTextOf(file(name, glob: false))
        if (text == null) {
            return [problem: 'has no card.json; docs/networks.md says what is in it.']
        }
        def card = new groovy.json.JsonSlurper().parseText(text)
        def wrong = card instanceof Map ? ['tile', 'stride'].findAll { key -> !(card[key] instanceof Integer) } + (card.outputs instanceof Map ? [] : ['outputs']) : ['an object']
        return wrong
            ? [problem: "has a card.json without ${wrong.join(' and ')}, or with something else there; docs/networks.md says what is in it."]
            : [tile: card.tile, stride: card.stride, compartments: card.outputs.keySet().toList()]
    }
    catch (Exception failure) {
        def reason = "${failure.message ?: failure.class.simpleName}".replaceAll(/\s+/, ' ').take(200)
        return [problem: "is no folder or .zip with a card.json that can be read (${reason})."]
    }
}

def cardTextOf(path) {
    if (path.isDirectory()) {
        return textOfSmall(path.resolve('card.json'))
    }
    def zip = java.nio.file.FileSystems.newFileSystem(path, null as ClassLoader)
    def folders = [zip.getPath('/')]
    folders[0].eachDir { folder -> folders << folder }
    def text = folders.collect { folder -> textOfSmall(folder.resolve('card.json')) }.find { found -> found != null }
    zip.close()
    return text
}

// Nothing of what is not there, or too long for a card
def textOfSmall(path) {
    return path.exists() && path.size() <= 1_000_000 ? path.text : null
}

// Their size and distance, as meta has them: nothing where they are Mesmer's
def tilesOf(options) {
    def card = 'network' in options.segmenter ? cardOf(options.network) : [tile: 256, stride: 192]
    return card.tile == 256 && card.stride == 192 ? [:] : card.subMap(['tile', 'stride'])
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
