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

def refuse(problems) {
    if (problems) {
        def more = problems.size() - 50
        error((problems.take(50) + (more > 0 ? ["and ${more} more; correct these first."] : [])).join('\n'))
    }
}
