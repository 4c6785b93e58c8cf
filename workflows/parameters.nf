// Parameters and samplesheet: checked against nextflow_schema.json before anything is started.
// Values from the command line arrive as strings on Nextflow 26, so types are settled here, once.

def checkParameters(given, schemaFile) {
    def schema = new groovy.json.JsonSlurper().parseText(schemaFile.text)
    def known = schema['$defs'].values().collectMany { group -> group.properties.entrySet() }.collectEntries { entry -> [entry.key, entry.value] }
    if (given.help?.toString() == 'true') {
        log.info(helpOf(schema))
        System.exit(0)
    }
    def unknown = given.keySet().findAll { name -> !known.containsKey(name) && !known.containsKey(snakeCase(name)) }
    if (unknown) {
        def near = known.keySet().findAll { name -> unknown.any { wrong -> name.contains(wrong) || wrong.contains(name) || sharedStart(name, wrong) > 4 } }
        error("Unknown parameter --${unknown.sort().join(', --')}.${near ? ' Did you mean --' + near.sort().join(', --') + '?' : ''} All parameters: nextflow run . --help")
    }
    def options = known.collectEntries { name, property -> [name, typed(name, given[name], property)] }
    def inputs = [options.input, options.image, options.demo ?: null].findAll { value -> value != null }
    if (inputs.size() != 1) {
        error("Give one of --input samplesheet.csv, --image slide.ome.tif (with --nuclear), or -profile demo; ${inputs ? 'more than one is' : 'none is'} given.")
    }
    if (options.image && options.nuclear == null) {
        error("--image ${options.image} needs --nuclear, the nuclear channel's name or 0-based index.")
    }
    log.info(
        "Mesmer's weights and deepcell are licensed for non-commercial academic use only " + "(modified Apache licence, Van Valen Lab, Caltech). Cellquilt's own code is MIT."
    )
    if (!options.accept_mesmer_license) {
        error("Mesmer's licence must be accepted before its weights are fetched or used: read it (see README.md, Licence) and add --accept_mesmer_license.")
    }
    return options
}

def typed(name, value, property) {
    if (value == null || value.toString() == '') {
        return null
    }
    def text = value.toString()
    if (property.type == 'boolean') {
        return text in ['true', 'false'] ? text == 'true' : refuse(name, text, 'true or false', property)
    }
    if (property.type in ['integer', 'number']) {
        def integer = property.type == 'integer'
        if (!(integer ? text.isInteger() : text.isBigDecimal())) {
            refuse(name, text, integer ? 'a whole number' : 'a number', property)
        }
        def number = integer ? text as Integer : text as BigDecimal
        if (property.minimum != null && number < property.minimum) {
            refuse(name, text, "at least ${property.minimum}", property)
        }
        if (property.maximum != null && number > property.maximum) {
            refuse(name, text, "at most ${property.maximum}", property)
        }
        return number
    }
    if (property['enum'] && !(text in property['enum'])) {
        refuse(name, text, "one of ${property['enum'].join(', ')}", property)
    }
    if (property.pattern && !(text ==~ property.pattern)) {
        refuse(name, text, "of the form ${property.pattern}", property)
    }
    return text
}

def refuse(name, text, expected, property) {
    error("--${name} ${text}: must be ${expected}. ${property.description}.")
}

def snakeCase(name) {
    return name.replace('-', '_').replaceAll('([a-z0-9])([A-Z])', '$1_$2').toLowerCase()
}

def sharedStart(a, b) {
    def length = Math.min(a.size(), b.size())
    return (0..<length).find { index -> a[index] != b[index] } ?: length
}

def helpOf(schema) {
    def groups = schema['$defs'].values().collect { group ->
        def lines = group.properties.collect { name, property ->
            def fallback = property.default == null ? '' : " [${property.default}]"
            "  --${name.padRight(36)} ${property.description}${fallback}"
        }
        "${group.title}\n${lines.join('\n')}"
    }
    return "nextflow run . --image slide.ome.tif --nuclear DAPI --membrane 'CD45;PanCK' --accept_mesmer_license -profile local\n\n${groups.join('\n\n')}\n"
}

// The slides of a run as [meta, image], or as meta for the generated one
def slidesOf(options) {
    if (options.demo) {
        return [metaOf([sample: 'demo', nuclear: 'DAPI', membrane: 'CD45;PanCK'], options, '-profile demo')]
    }
    if (options.image) {
        def image = file(options.image)
        def row = [sample: options.sample ?: image.name.replaceAll(/(?i)\.(ome\.)?(tiff?|btf|tf8|qptiff)$/, '').replaceAll(/[^A-Za-z0-9._-]/, '_'), image: options.image, nuclear: options.nuclear, membrane: options.membrane]
        return [[metaOf(row, options, '--image'), existing(options.image, null, '--image')]]
    }
    def sheet = existing(options.input, null, '--input')
    def rows = sheet.splitCsv(header: true, strip: true)
    def columns = ['sample', 'image', 'nuclear', 'membrane', 'image_mpp']
    def missing = ['sample', 'image', 'nuclear'].findAll { column -> !rows || !rows[0].containsKey(column) }
    if (missing) {
        error("${sheet.name}: ${rows ? 'no column ' + missing.join(', ') : 'no rows'}; a samplesheet has the columns ${columns.join(',')} (the last two may be missing) and a row a slide.")
    }
    def extra = rows[0].keySet() - columns
    if (extra) {
        error("${sheet.name}: unknown column ${extra.join(', ')}; a samplesheet has the columns ${columns.join(',')}.")
    }
    def twice = rows.countBy { row -> row.sample }.findAll { _name, count -> count > 1 }.keySet()
    if (twice) {
        error("${sheet.name}: sample ${twice.join(', ')} occurs more than once; every row needs a name of its own.")
    }
    return rows.withIndex().collect { row, index ->
        def where = "${sheet.name}, row ${index + 2}"
        [metaOf(row, options, where), existing(row.image, sheet.parent, where)]
    }
}

def metaOf(row, options, where) {
    if (!(row.sample ==~ /[A-Za-z0-9][A-Za-z0-9._-]*/)) {
        error("${where}: sample '${row.sample}': a sample name has letters, digits, '.', '_' and '-' only, since folders are named after it.")
    }
    if (!row.nuclear) {
        error("${where}: sample ${row.sample} names no nuclear channel; give its name or 0-based index.")
    }
    def mpp = row.image_mpp ?: options.image_mpp?.toString()
    if (mpp && !mpp.isBigDecimal()) {
        error("${where}: image_mpp '${mpp}' is not a number; give the pixel size in um.")
    }
    if (!row.membrane && options.compartment == 'whole-cell') {
        error("${where}: sample ${row.sample} names no membrane channel, without which whole cells cannot be segmented; name one, or use --compartment nuclear.")
    }
    if (!row.membrane && options.compartment == 'both') {
        log.warn("${where}: sample ${row.sample} names no membrane channel: nuclear segmentation only.")
    }
    return [
        id: row.sample,
        nuclear: row.nuclear.toString(),
        membrane: row.membrane?.toString() ?: '',
        image_mpp: mpp ?: '',
        compartment: row.membrane ? options.compartment : 'nuclear',
    ]
}

// Relative paths of a samplesheet count from its own folder, or else from where the run started
def existing(path, folder, where) {
    if (!path) {
        error("${where}: no image is named.")
    }
    def beside = folder ? folder.resolve(path.toString()) : null
    def found = beside && beside.exists() ? beside : file(path)
    if (!found.exists()) {
        error("${where}: ${path} does not exist; check the path, and that it can be read from here.")
    }
    return found
}

def summaryOf(summaries, outdir) {
    def lines = summaries.collect { path ->
        def summary = new groovy.json.JsonSlurper().parseText(path.text)
        def counts = [
            summary.n_cells == null ? null : "${summary.n_cells} cells",
            summary.n_nuclei == null ? null : "${summary.n_nuclei} nuclei",
            summary.n_matched == null ? null : "${summary.n_matched} matched",
        ].findAll { count -> count != null }
        "  ${summary.sample}: ${counts.join(', ')}; masks in ${outdir}/${summary.sample}/segmentation/mesmer-${summary.sample}"
    }
    return "Cellquilt is done\n${lines.join('\n')}"
}
