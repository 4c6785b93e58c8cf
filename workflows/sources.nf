// Where a parameter was given: on the command line or in a params file, or else in a configuration file.

include { reasonOf ; yamlOf } from './architectures'
include { schemaOf } from './schema'

// What was written on the command line and in the params file, by the name that Nextflow makes of it
def writtenNames(commandLine) {
    def words = argumentsOf(commandLine)
    def of_command = words.findAll { word -> word ==~ /(?s)--[a-zA-Z\d].*/ }.collect { word -> word.substring(2).replaceAll(/(?s)=.*/, '') }
    def option = words.findLastIndexOf { word -> word == '-params-file' }
    def path = option < 0 ? System.getenv('NXF_PARAMS_FILE') : words[option + 1]
    return of_command.collectEntries { name -> [handedOn(name), name] } + (path ? namesInFile(path).collectEntries { name -> [camelCase(name), name] } : [:])
}

// Files that follow the value of an option and are like it: what a shell makes of a pattern without quotes
def surplusFiles(option, commandLine) {
    def words = argumentsOf(commandLine).dropWhile { word -> word != option }.drop(1)
    return words.drop(1).takeWhile { word -> !word.startsWith('-') }.findAll { word -> likenessOf(word) == likenessOf(words[0]) }
}

// Folder and suffix of a file's name
def likenessOf(name) {
    return [name.replaceAll(/[^\/]*$/, ''), name.replaceAll(/(?s).*(?=\.)/, '')]
}

// The arguments of workflow.commandLine. Nextflow puts one in single quotes if it has special characters,
// or escapes each of them by a backslash if one of them is a single quote
def argumentsOf(commandLine) {
    return commandLine.findAll(/(?s)'[^']*'|(?:\\.|[^\\ ])+/).collect { word -> word.startsWith("'") ? word[1..<-1] : word.replaceAll(/(?s)\\(.)/, '$1') }
}

// Nextflow has read it before, but lets a name stand twice
def namesInFile(name) {
    def path = file(name, glob: false)
    try {
        return (path.extension == 'json' ? schemaOf(path) : yamlOf(path)).keySet()*.toString()
    }
    catch (Exception failure) {
        error("-params-file ${name} is not a readable file of parameters (${reasonOf(org.codehaus.groovy.runtime.StackTraceUtils.extractRootCause(failure))}).")
    }
}

// --a.b is entry b of a; Nextflow leaves the a of it as it is
def handedOn(name) {
    def group = name.replaceAll(/(?s)(?<!\\)\..*/, '')
    return group == name ? camelCase(name.replace('\\.', '.')) : group
}

def camelCase(name) {
    return name.replaceAll(/-+(.?)/) { _match, letter -> letter.toUpperCase() }
}
