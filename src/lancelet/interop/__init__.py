"""Lance and other formats: conversion of files, columns as text."""
