// Values given as text, of parameters and of a samplesheet's cells alike: what a JSON schema asks of
// them, what they become, and how a run is refused.

def schemaOf(path) {
    return new groovy.json.JsonSlurper().parseText(path.text)
}

def textOf(value) {
    return value == null ? '' : value.toString()
}

// What a value should have been, or null where it is that
def expectedOf(text, property) {
    if (property.type == 'boolean') {
        return text in ['true', 'false'] ? null : 'true or false'
    }
    if (property.type == 'integer' && !text.isInteger()) {
        return 'a whole number'
    }
    if (property.type == 'number' && !text.isBigDecimal()) {
        return 'a number'
    }
    if (property.minimum != null && (text as BigDecimal) < property.minimum) {
        return "at least ${property.minimum}"
    }
    if (property.maximum != null && (text as BigDecimal) > property.maximum) {
        return "at most ${property.maximum}"
    }
    if (property['enum'] && !(text in property['enum'])) {
        return "one of ${property['enum'].join(', ')}"
    }
    if (property.maxLength && text.size() > property.maxLength) {
        return "at most ${property.maxLength} letters long"
    }
    return property.pattern && !(text ==~ property.pattern) ? "of the form ${property.pattern.replaceAll(/(?<!\[)\^|\$/, '')}" : null
}

// The value itself, or null where there is none. A list is separated by commas
def typed(text, property) {
    if (text == '') {
        return null
    }
    if (property.list_of) {
        return text.tokenize(',').collect { part -> typed(part.trim(), [type: property.list_of]) }.unique()
    }
    if (property.type == 'boolean') {
        return text == 'true'
    }
    return property.type == 'integer' ? text as Integer : property.type == 'number' ? text as BigDecimal : text
}

// The values that occur more than once, and how often
def repeatedOf(values) {
    return values.countBy { value -> value }.findAll { _value, count -> count > 1 }
}

// The known name that a mistyped one is nearest to, or null where none is near
def nearestName(name, known) {
    def near = known.min { other -> distanceOf(plainName(name), plainName(other)) }
    def length = plainName(near).size()
    return distanceOf(plainName(name), plainName(near)) <= (length > 6 ? 2 : length > 3 ? 1 : 0) ? near : null
}

def plainName(name) {
    return name.replaceAll(/[^\p{L}\p{N}]/, '').toLowerCase()
}

// How many letters must be put in, left out, replaced, or swapped with the next one
def distanceOf(a, b) {
    def before = []
    def above = (0..b.size()).toList()
    a.toList().eachWithIndex { from, i ->
        def row = [i + 1]
        b.toList().eachWithIndex { to, j ->
            def steps = [above[j + 1] + 1, row[j] + 1, above[j] + (from == to ? 0 : 1)]
            def is_swapped = i > 0 && j > 0 && from == b[j - 1] && a[i - 1] == to
            row << (is_swapped ? steps + [before[j - 1] + 1] : steps).min()
        }
        before = above
        above = row
    }
    return above.last()
}

def refuse(problems) {
    if (problems) {
        error(problems.join('\n'))
    }
}
