// The names in a YAML table of architectures. TRAIN checks what they stand for.

// Those of a file, or what is wrong with it
def architecturesOf(path) {
    try {
        def table = yamlOf(path)
        return table instanceof Map
            ? [names: table.keySet().findAll { name -> name instanceof String }]
            : [problem: 'must map names of architectures to their patch and layers, as bin/cellquilt/pixelcnn/architectures.yaml does']
    }
    catch (Exception failure) {
        return [problem: "is not a readable YAML file (${reasonOf(failure)})"]
    }
}

// Plain data alone, and no name twice: the second would silently win
def yamlOf(path) {
    def rules = new org.yaml.snakeyaml.LoaderOptions()
    rules.allowDuplicateKeys = false
    def yaml = new org.yaml.snakeyaml.Yaml(new org.yaml.snakeyaml.constructor.SafeConstructor(rules))
    return path.withInputStream { stream -> yaml.load(stream) }
}

def reasonOf(failure) {
    return "${failure.message ?: failure.class.simpleName}".replaceAll(/\s+/, ' ').take(200)
}
