// What --help prints, from nextflow_schema.json, in lines of at most 80 characters.

include { nearestOf } from './spelling'

// The common parameters, all of them (full), or all about one. Null where no name is like the one that is asked for
def helpOf(topic, schema) {
    def groups = schema['$defs'].values()
    if (topic == 'full') {
        return listOf(groups, 'One of them: --help patch_size')
    }
    if (topic == 'true') {
        def common = groups.collect { group -> group + [properties: group.properties.findAll { _name, property -> !property.hidden }] }
        return listOf(common.findAll { group -> group.properties }, 'These are the common ones. All: --help full. One of them: --help patch_size')
    }
    def pages = groups.collectMany { group -> group.properties.collect { name, property -> [name, pageOf(name, property, group)] } }.collectEntries()
    return nearestOf(topic, pages.keySet()).collect { name -> pages[name] }.join('\n') ?: null
}

def listOf(groups, end) {
    def sections = groups.collect { group -> "${group.title}\n${group.properties.collect { name, property -> entryOf(name, property) }.join('\n')}\n" }
    def example = "nextflow run . --image slide.ome.tif --nuclear DAPI --membrane 'CD45;PanCK' \\\n    --accept_mesmer_license -profile local\n"
    return "${example}\n${sections.join('\n')}\n${end}\n"
}

// A name that is too long for its column has a line of its own
def entryOf(name, property) {
    def facts = [allowedOf(property), property.default == null ? null : "default: ${property.default}"].findAll()
    def text = property.description + (facts ? " [${facts.join('; ')}]" : '')
    def head = "  ${optionOf(name, property)}"
    def lines = wrapped(text, 28)
    return head.size() < 27 ? head.padRight(28) + lines.stripLeading() : "${head}\n${lines}"
}

def pageOf(name, property, group) {
    def facts = [
        'Allowed': allowedOf(property) ?: formOf(property),
        'Default': property.default?.toString(),
        'Group': "${group.title}: ${group.description}",
    ].findAll { _title, fact -> fact }
    def texts = [property.description + '.', property.help_text].findAll().collect { text -> wrapped(text.replace('`', ''), 2) }
    def lines = facts.collect { title, fact -> "  ${title.padRight(9)}${wrapped(fact, 11).stripLeading()}" }
    return "${optionOf(name, property)}\n\n${texts.join('\n')}\n\n${lines.join('\n')}\n"
}

def optionOf(name, property) {
    def values = ['file-path': 'FILE', 'directory-path': 'FOLDER', 'path': 'PATH', 'string': 'TEXT', 'integer': 'INTEGER', 'number': 'NUMBER']
    return ["--${name}", values[property.format ?: property.type]].findAll().join(' ')
}

def allowedOf(property) {
    if (property['enum']) {
        return property['enum'].join(', ')
    }
    if (property.minimum != null) {
        return property.maximum == null ? "at least ${property.minimum}" : "${property.minimum} to ${property.maximum}"
    }
    return property.maximum == null ? null : "at most ${property.maximum}"
}

def formOf(property) {
    return property.type == 'boolean' ? 'true, false' : property.pattern
}

// A text in lines of at most 80 characters, behind a margin. A longer word is cut
def wrapped(text, margin) {
    def width = 80 - margin
    return text.findAll(".{1,${width}}(?:\\s+|\$)|.{${width}}").collect { line -> ' ' * margin + line.trim() }.join('\n')
}
