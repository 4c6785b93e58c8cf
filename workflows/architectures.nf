// The names in a YAML table of architectures. TRAIN checks what they stand for.

// All that can be trained: of the table that comes with the pipeline, and of a user's own file
def knownArchitectures(options) {
    def built_in = architecturesOf(file("${projectDir}/bin/cellquilt/training/architectures.yaml"))
    def own = options.architecture_file ? architecturesOf(file(options.architecture_file, glob: false)) : [names: [], unets: [:]]
    return own.problem ? own : [names: built_in.names + own.names, unets: built_in.unets.findAll { name, _has_start -> !(name in own.names) } + own.unets]
}

// Those of a file, and of U-Nets whether they are trained further; or what is wrong with it
def architecturesOf(path) {
    try {
        def table = yamlOf(path)
        return table instanceof Map
            ? [names: table.keySet().findAll { name -> name instanceof String }, unets: unetsOf(table)]
            : [problem: 'must map names of architectures to their patch and layers, as bin/cellquilt/training/architectures.yaml does']
    }
    catch (Exception failure) {
        return [problem: "is not a readable YAML file (${reasonOf(failure)})"]
    }
}

def unetsOf(table) {
    return table
        .findAll { name, entry -> name instanceof String && entry instanceof Map && entry.containsKey('filters') && !entry.containsKey('patch') }
        .collectEntries { name, entry -> [name, entry.containsKey('start')] }
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
