// The networks of a run: those that segment, and those that are trained.

// The networks of a segmenter: the user's, or those that come with the pipeline
def modelsOf(segmenter, options) {
    def own = (options.models ?: []).findAll { name -> takerOf(name, options) == segmenter }
    return own ? own.collect { name -> file(name, glob: false) } : embeddedOf(segmenter)
}

def embeddedOf(segmenter) {
    return [pixelcnn: ['whole-cell', 'nuclear'], nuclei: ['unet/nuclei']][segmenter].collect { name -> file("${projectDir}/assets/networks/${name}.keras") }
}

// The segmenter that takes a file of --models. Where the file does not tell, the segmenter says what is wrong with it
def takerOf(name, options) {
    return kindOf(name) ?: ['pixelcnn', 'nuclei'].find { segmenter -> segmenter in options.segmenter }
}

// The segmenter that a network of --mode train is for, by the format of the card in its file, or null
def kindOf(name) {
    try {
        def zip = java.nio.file.FileSystems.newFileSystem(file(name, glob: false), null as ClassLoader)
        def text = textOfSmall(zip.getPath('cellquilt.json'))
        zip.close()
        def card = text ? new groovy.json.JsonSlurper().parseText(text) : null
        return card instanceof Map ? [(1): 'pixelcnn', 'unet-1': 'nuclei'][card.format] : null
    }
    catch (Exception _failure) {
        return null
    }
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

// The networks to train, as [meta, stores, labels, start]: every architecture and seed, by compartment. U-Nets find
// nuclei alone, and some start from the network that comes with the pipeline
def networksOf(options, examples, unets) {
    def compartments = options.compartment == 'both' ? ['whole-cell', 'nuclear'] : [options.compartment]
    def wanted = [compartments, options.architectures, options.seeds].combinations().findAll { compartment, architecture, _seed -> compartment == 'nuclear' || !unets.containsKey(architecture) }
    return wanted.collect { compartment, architecture, seed ->
        def meta = [
            id: "${compartment}-${architecture}-seed${seed}".toString(),
            compartment: compartment,
            architecture: architecture,
            seed: seed,
            splits: examples.collect { example -> example[0].split },
        ]
        def start = unets[architecture] ? embeddedOf('nuclei') : []
        [meta, examples.collect { example -> example[1] }, examples.collect { example -> labelsOf(example[2], compartment) }, start]
    }
}

// A generated tissue has labels of both compartments
def labelsOf(labels, compartment) {
    def wanted = compartment == 'nuclear' ? 'nucleus_truth' : 'cell_truth'
    return labels instanceof List ? labels.find { path -> path.name.startsWith(wanted) } : labels
}
